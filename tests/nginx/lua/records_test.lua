-- Records: values of any bytes, and nothing taken of a broken stream.

local records = require "records"

local list = assert(records.parse("S u:1 5\na\nb\0c\nD h:x\nV 3 4 00ff\n"))
assert(#list == 3)
assert(list[1][1] == "S" and list[1][2] == "u:1" and list[1][3] == "a\nb\0c")
assert(list[2][1] == "D" and list[2][2] == "h:x")
assert(list[3][2] == "3" and list[3][3] == "4" and list[3][4] == "00ff")
assert(#assert(records.parse("")) == 0)
assert(#assert(records.parse("S e 0\n\n")) == 1)
for _, broken in ipairs({ "S a 9\nb\n", "S a 1\nbb\n", "X a\n", "D a", "S a x\nb\n", "S a 1\n" }) do
    assert(not records.parse(broken), broken)
end
