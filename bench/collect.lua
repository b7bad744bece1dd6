-- collect.lua - wrk: schedules jobs and collects each; only collects count
local headers = {
	["Content-Type"] = "application/json",
	["Authorization"] = "Bearer " .. os.getenv("TOKEN"),
}
local seed = os.getenv("BODY")
local jobs, first, last = {}, 1, 0
collected, refused = 0, 0

local threads = {}
function setup(thread)
	table.insert(threads, thread)
end

function request()
	if first <= last then
		local id = jobs[first]
		jobs[first] = nil
		first = first + 1
		return wrk.format("POST", "/collect", headers, '{"job_id":"' .. id .. '"}')
	end
	return wrk.format("POST", "/schedule", headers, seed)
end

function response(status, _, body)
	if status == 202 then
		local id = body:match('"job_id":"(JOB%-%x+)"')
		last = last + 1
		jobs[last] = id
	elseif status == 200 then
		collected = collected + 1
	else
		refused = refused + 1
	end
end

function done(summary)
	local all, bad = 0, 0
	for _, t in ipairs(threads) do
		all = all + t:get("collected")
		bad = bad + t:get("refused")
	end
	io.write(string.format("collects=%.0f refused=%d\n", all / (summary.duration / 1e6), bad))
end
