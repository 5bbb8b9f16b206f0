-- The settings of this generation of nginx, which change only with a reload; `startup` fills the table in once, and all
-- modules hold the same one.

return {}
