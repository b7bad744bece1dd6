-- read: a job as it is
--
-- KEYS  jobs, ends, <job id>:now
-- ARGV  job id[, tenant]; without it, of whatever tenant
local now = clock()
local job, ends = find(KEYS[1], KEYS[2], ARGV[1], ARGV[2], now)
if not job then
	return 'not-found'
end
return view('ok', now, ARGV[1], job, ends, standing(KEYS[3]))
