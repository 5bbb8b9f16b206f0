-- What wrk sends: the lines "host path" of a file, one after the other. Arguments: file, pause in ms, "close" or "keep".
local requests, count, at, pause = {}, 0, 0, 0

-- the host of the URL is the TLS server name; everybody is on loopback
function wrk.resolve(_, service)
   wrk.addrs = wrk.lookup("127.0.0.1", service)
end

function init(args)
   pause = tonumber(args[2])
   for line in io.lines(args[1]) do
      local host, path = line:match("^(%S+) (%S+)$")
      local headers = { Host = host }
      if args[3] == "close" then
         headers["Connection"] = "close"
      end
      count = count + 1
      requests[count] = wrk.format("GET", path, headers)
   end
   if pause > 0 then
      delay = function() return math.random(0, 2 * pause) end
   end
end

function request()
   at = at % count + 1
   return requests[at]
end

function done(summary, latency, _)
   local e = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "seconds": %.6f, "p50": %.4f, "p99": %.4f, ' ..
      '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      e.connect, e.read, e.write, e.status, e.timeout))
end
