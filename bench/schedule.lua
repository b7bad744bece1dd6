-- schedule.lua - wrk: POST /schedule with a real token (environment TOKEN)
wrk.method = "POST"
wrk.path = "/schedule"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
wrk.body = '{"seed":{"goal":"Plan a calm onboarding walk for a new team member","ul_tags":["ΛSIM"],' ..
	'"constraints":{"consent":{"scopes":["sim.run"]}}}}'

function done(summary)
	if summary.errors.status > 0 then
		io.write("refused=", summary.errors.status, "\n")
	end
end
