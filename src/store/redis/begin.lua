-- begin: scheduled -> running for one collector, with a claim that runs out
--
-- KEYS  jobs, ends, <job id>:now
-- ARGV  job id, tenant, claim_ms[, artifacts]
local now = clock()
local job, ends = find(KEYS[1], KEYS[2], ARGV[1], ARGV[2], now)
if not job then
	return 'not-found'
end
local s = standing(KEYS[3])
local status = unclaimed(s, now)
if status == 'ok' then
	local claim = string.format('%.0f', (tonumber(s[2]) or 1) + 1)
	local till = now + ARGV[3]
	if ARGV[4] and not s[4] then
		s[4] = ARGV[4]
		change(KEYS[3], ARGV[1], job, s, now, ends, 'running', 'claim', claim, 'until', till, 'artifacts', s[4])
	else
		change(KEYS[3], ARGV[1], job, s, now, ends, 'running', 'claim', claim, 'until', till)
	end
end
return view(status, now, ARGV[1], job, ends, s)
