-- trace: the job of that trace, of whatever tenant
--
-- KEYS  jobs, ends, traces
-- ARGV  trace id
local now = clock()
local id = redis.call('HGET', KEYS[3], ARGV[1])
if not id then
	return 'not-found'
end
local job, ends = find(KEYS[1], KEYS[2], id, nil, now)
if not job then
	return 'not-found'
end
return view('ok', now, id, job, ends, standing(string.sub(KEYS[1], 1, -5) .. id .. ':now'))
