-- Creates Pods that no scheduler takes: the cost of a durable write, and nothing else.
local id = 0
function setup(thread) thread:set("id", id); id = id + 1 end
local count = 0
local before = [==[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"]==]
local after = [==[","labels":{"app":"bench","tier":"web"},"annotations":{"note":"]==] .. string.rep("x", 200) ..
  [==["}},"spec":{"schedulerName":"none","automountServiceAccountToken":false,"containers":[{"name":"app","image":"registry.example/app:1","args":["serve","--port=8080"],"ports":[{"containerPort":8080}],"env":[{"name":"A","value":"1"},{"name":"POD","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}],"resources":{"requests":{"cpu":"10m","memory":"16Mi"},"limits":{"cpu":"100m","memory":"64Mi"}},"readinessProbe":{"httpGet":{"path":"/healthz","port":8080},"periodSeconds":5},"volumeMounts":[{"name":"tmp","mountPath":"/tmp"}]}],"volumes":[{"name":"tmp","emptyDir":{}}]}}]==]
local headers = {["Authorization"] = "Bearer bench-token", ["Content-Type"] = "application/json"}
function request()
  count = count + 1
  local name = "bench-" .. id .. "-" .. count .. "-" .. os.time()
  return wrk.format("POST", "/api/v1/namespaces/bench/pods", headers, before .. name .. after)
end
local bad = 0
function response(status, _, body)
  if status >= 300 then
    bad = bad + 1
    if bad < 3 then print(status, body) end
  end
end
