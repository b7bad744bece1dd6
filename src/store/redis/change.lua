-- change: what a job that is there may become besides running
--
-- KEYS  jobs, ends, <job id>:now, ended
-- ARGV  job id, tenant, what (release, finish, fail, cancel), claim (0: none),
--       receipt or reason
local now = clock()
local job, ends = find(KEYS[1], KEYS[2], ARGV[1], ARGV[2], now)
if not job then
	return 'not-found'
end
local s = standing(KEYS[3])
local what, claim = ARGV[3], ARGV[4]
local held = s[1] == 'running' and s[7] == claim
local status
if what == 'release' or what == 'finish' then
	status = held and 'ok' or 'lost'
elseif what == 'fail' and claim ~= '0' then
	status = how_ended(s)
	if status == 'ok' and not held then
		status = 'lost'
	end
else
	status = unclaimed(s, now)
end
if status == 'ok' then
	if what ~= 'release' then
		redis.call('ZADD', KEYS[4], ends, ARGV[1])
		keep(KEYS[4], ends)
	end
	if what == 'release' then
		change(KEYS[3], ARGV[1], job, s, now, ends, 'scheduled')
	elseif what == 'finish' then
		s[5] = ARGV[5]
		change(KEYS[3], ARGV[1], job, s, now, ends, 'complete', 'receipt', s[5])
	elseif what == 'fail' then
		s[6] = ARGV[5]
		change(KEYS[3], ARGV[1], job, s, now, ends, 'failed', 'failure', s[6])
	else
		change(KEYS[3], ARGV[1], job, s, now, ends, 'cancelled')
	end
end
return view(status, now, ARGV[1], job, ends, s)
