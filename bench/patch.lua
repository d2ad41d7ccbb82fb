-- One merge patch after the other on one Pod, each raising a label.
local count = 0
local headers = {["Authorization"] = "Bearer bench-token", ["Content-Type"] = "application/merge-patch+json"}
function request()
  count = count + 1
  return wrk.format("PATCH", "/api/v1/namespaces/bench/pods/one", headers, '{"metadata":{"labels":{"n":"' .. count .. '"}}}')
end
