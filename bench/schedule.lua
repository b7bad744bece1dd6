-- schedule.lua - wrk: POST /schedule of BODY with the token in TOKEN (environment)
wrk.method = "POST"
wrk.path = "/schedule"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
wrk.body = os.getenv("BODY")

function done(summary)
	if summary.errors.status > 0 then
		io.write("refused=", summary.errors.status, "\n")
	end
end
