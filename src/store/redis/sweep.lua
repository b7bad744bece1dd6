-- sweep: takes jobs past their end out, a bounded number of them
--
-- KEYS  jobs, traces, keys, ends, ended, marker
-- ARGV  how many at most
-- Gives the live unfinished jobs, exactly; the marker; how many were taken out.
local now = clock()
-- changes nothing: may this server be written to?
redis.call('ZREM', KEYS[5], '')
-- what has ended as a whole goes as a whole, all of it now; and whatever is of
-- a wrong type is found here, before a request finds it
for i = 1, 3 do
	redis.call('HLEN', KEYS[i])
end
local past = redis.call('ZRANGE', KEYS[4], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
if #past > 0 then
	local traces, digests, owners = {}, {}, {}
	for i, job in ipairs(redis.call('HMGET', KEYS[1], unpack(past))) do
		if job then
			local trace, digest = string.match(job, '^(%S+) (%S+)')
			traces[#traces + 1] = trace
			if digest ~= '-' then
				digests[#digests + 1] = digest
				owners[#owners + 1] = past[i]
			end
		end
	end
	if #digests > 0 then
		-- a key whose job is over may have been used again meanwhile
		local over = {}
		for i, used in ipairs(redis.call('HMGET', KEYS[3], unpack(digests))) do
			if used and string.match(used, ' (%S+)$') == owners[i] then
				over[#over + 1] = digests[i]
			end
		end
		if #over > 0 then
			redis.call('HDEL', KEYS[3], unpack(over))
		end
	end
	if #traces > 0 then
		redis.call('HDEL', KEYS[2], unpack(traces))
	end
	redis.call('HDEL', KEYS[1], unpack(past))
	redis.call('ZREM', KEYS[4], unpack(past))
	redis.call('ZREM', KEYS[5], unpack(past))
end
local live = '(' .. now
return {redis.call('ZCOUNT', KEYS[4], live, '+inf') - redis.call('ZCOUNT', KEYS[5], live, '+inf'),
	redis.call('GET', KEYS[6]), #past}
