-- Reads the stream that brings data: `S <key> <length>` with a value behind it, `D <key>`, and `V <from> <to> <digest>`,
-- which makes it count. The same in the snapshot file and on the wire.

local find, match, sub = string.find, string.match, string.sub

local _M = {}

-- Return a list of { kind, ... } ("S" key value, "D" key, "V" from to digest), or nil and what is wrong.
function _M.parse(text)
    local found, position = {}, 1
    while position <= #text do
        local stop = find(text, "\n", position, true)
        if not stop then
            return nil, "a record without an end"
        end
        local line = sub(text, position, stop - 1)
        position = stop + 1
        local kind, first, second, third = match(line, "^([SDV]) (%S+) ?(%S*) ?(%S*)$")
        if kind == "S" then
            local length = tonumber(second)
            if not length or sub(text, position + length, position + length) ~= "\n" then
                return nil, "a value of another length"
            end
            found[#found + 1] = { "S", first, sub(text, position, position + length - 1) }
            position = position + length + 1
        elseif kind then
            found[#found + 1] = { kind, first, second, third }
        else
            return nil, "an unknown record"
        end
    end
    return found
end

return _M
