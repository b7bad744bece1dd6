-- common: what the scripts know of a job; put in front of each of them
--
-- Behind the prefix lie
--   jobs    hash: job id -> the job as it was created,
--             trace_id key_digest ttl_ms goal_chars stepped_up policy_digest
--             advice <bytes of tenant> <of traceparent> <of policy version>
--             tenant traceparent version, a blank between any two
--             (key_digest is - when there is none), a newline, the seed
--   traces  hash: trace id -> job id
--   keys    hash: digest of an idempotency key -> digest of the body, job id
--   ends    sorted set: job id by the moment of its end (created + ttl)
--   ended   the same, of jobs that are complete, failed or cancelled
--   <job id>:now  hash, there from the first change on: state, revision,
--             updated, claim, until, artifacts, receipt, failure
-- A job past its end is not found, whether or not it was swept already. All
-- keys have an end of their own, behind that of the last job in them.

local function clock()
	local time = redis.call('TIME')
	return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Nothing in key ends later than ends: it may go a while after that.
local function keep(key, ends)
	if redis.call('PEXPIRETIME', key) < ends then
		redis.call('PEXPIREAT', key, ends + 60000)
	end
end

-- The live job of that tenant (nil: of whatever tenant), and its end.
local function find(jobs, index, id, tenant, now)
	local job = redis.call('HGET', jobs, id)
	local ends = job and redis.call('ZSCORE', index, id)
	if not ends or tonumber(ends) <= now then
		return nil
	end
	if tenant then
		local len, at = string.match(job, '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) %d+ %d+ ()')
		if string.sub(job, at, at + len - 1) ~= tenant then
			return nil
		end
	end
	return job, tonumber(ends)
end

local function standing(now_key)
	return redis.call('HMGET', now_key, 'state', 'revision', 'updated', 'artifacts', 'receipt', 'failure',
		'claim', 'until')
end

-- 'ok' while the job is unfinished, otherwise how it ended.
local function how_ended(s)
	local state = s[1]
	if state and state ~= 'scheduled' and state ~= 'running' then
		return state
	end
	return 'ok'
end

-- As how_ended, and 'busy' while somebody holds a live claim.
local function unclaimed(s, now)
	if s[1] == 'running' and now < tonumber(s[8]) then
		return 'busy'
	end
	return how_ended(s)
end

local function view(status, now, id, job, ends, s)
	return {status, now, id, job, ends, s[1], s[2], s[3], s[4], s[5], s[6], s[8]}
end

-- The job's next revision, with these members besides; tells who waits for
-- it. Whatever could be refused must have been tried before.
local function change(now_key, id, job, s, now, ends, state, ...)
	local updated = s[3] or ends - string.match(job, '^%S+ %S+ (%d+)')
	s[2] = string.format('%.0f', (tonumber(s[2]) or 1) + 1)
	s[3] = string.format('%.0f', math.max(now, updated))
	s[1] = state
	redis.call('HSET', now_key, 'state', state, 'revision', s[2], 'updated', s[3], ...)
	redis.call('PEXPIREAT', now_key, ends)
	redis.pcall('PUBLISH', string.sub(now_key, 1, -#id - 5) .. 'changed:' .. tonumber(string.sub(id, -2), 16),
		id .. ' ' .. s[2])
end
