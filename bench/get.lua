wrk.headers["Authorization"] = "Bearer bench-token"
