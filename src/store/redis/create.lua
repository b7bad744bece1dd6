-- create: jobs that came together; each is there whole or not at all. What a
-- run of a script costs is mostly the number of its commands, so it takes many
-- jobs, in the form in which the commands want them.
--
-- KEYS  jobs, traces, keys, ends, ended
-- ARGV  most unfinished jobs (0: no limit), ttl_ms, how many jobs (n), then
--       n times id and job, n times trace and id, and, if they have
--       idempotency keys, n times digest of the key and digest of the body
-- Gives the time of creation (ms) when all were created; else for each that
-- time or a status word, or a view when it is a replay.
local now = clock()
local most, ttl, n = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local at_traces, at_keys = 3 + 2 * n, 3 + 4 * n
local keyed = #ARGV > at_keys
local ends = string.format('%.0f', now + ttl)

local index, traces = {}, {}
for i = 1, n do
	index[2 * i - 1], index[2 * i] = ends, ARGV[2 + 2 * i]
	traces[i] = ARGV[at_traces + 2 * i - 1]
end

local function write(jobs, links, claims)
	redis.call('HSET', KEYS[1], unpack(jobs))
	redis.call('HSET', KEYS[2], unpack(links))
	if claims and #claims > 0 then
		redis.call('HSET', KEYS[3], unpack(claims))
		keep(KEYS[3], now + ttl)
	end
	if redis.call('PEXPIRETIME', KEYS[1]) < now + ttl then
		keep(KEYS[1], now + ttl)
		keep(KEYS[2], now + ttl)
		keep(KEYS[4], now + ttl)
	end
end

local room = math.huge
if most > 0 then
	-- nearly always the cheap bound says enough
	room = most - redis.call('ZCARD', KEYS[4])
	if room < n then
		room = most - redis.call('ZCOUNT', KEYS[4], '(' .. now, '+inf')
			+ redis.call('ZCOUNT', KEYS[5], '(' .. now, '+inf')
	end
end

local traced = redis.call('HMGET', KEYS[2], unpack(traces))
local clear, seen = not keyed and room >= n, {}
for i = 1, n do
	clear = clear and not traced[i] and not seen[traces[i]]
	seen[traces[i]] = true
end
if clear and redis.call('ZADD', KEYS[4], 'NX', unpack(index)) == n then
	write({unpack(ARGV, 4, at_traces)}, {unpack(ARGV, at_traces + 1, at_keys)})
	return now
end

-- Keys, a taken identifier, no room for all: one by one.
local ids, digests, used, mine, links = {}, {}, {}, {}, {}
for i = 1, n do
	ids[i] = ARGV[2 + 2 * i]
	digests[i] = keyed and ARGV[at_keys + 2 * i - 1]
end
local taken = redis.call('HMGET', KEYS[1], unpack(ids))
if keyed then
	for i, found in ipairs(redis.call('HMGET', KEYS[3], unpack(digests))) do
		used[digests[i]] = found or nil
	end
end

-- The answer to a key that was used before; nil when that job is over.
local function replay(digest, body)
	local other, id = string.match(used[digest], '^(%S+) (%S+)$')
	local job, till
	if mine[id] then
		job, till = mine[id], now + ttl
	else
		job, till = find(KEYS[1], KEYS[4], id, nil, now)
	end
	if not job then
		return nil
	end
	if other ~= body then
		return 'mismatch'
	end
	return view('replayed', now, id, job, till, standing(string.sub(KEYS[1], 1, -5) .. id .. ':now'))
end

local out, jobs, claims, new = {}, {}, {}, {}
index = {}
for i, id in ipairs(ids) do
	local digest, body = digests[i], keyed and ARGV[at_keys + 2 * i]
	local answer = digest and used[digest] and replay(digest, body)
	if answer then
		out[i] = answer
	elseif taken[i] or traced[i] or mine[id] or new[traces[i]] then
		out[i] = 'exists'
	elseif room <= 0 then
		out[i] = 'full'
	else
		mine[id], new[traces[i]] = ARGV[3 + 2 * i], true
		jobs[#jobs + 1], jobs[#jobs + 2] = id, mine[id]
		links[#links + 1], links[#links + 2] = traces[i], id
		index[#index + 1], index[#index + 2] = ends, id
		if digest then
			used[digest] = body .. ' ' .. id
			claims[#claims + 1], claims[#claims + 2] = digest, used[digest]
		end
		room = room - 1
		out[i] = now
	end
end
if #jobs > 0 then
	redis.call('ZADD', KEYS[4], unpack(index))
	write(jobs, links, claims)
end
return out
