"""Who reaches whom, pure: which endpoints a Service has, what a policy allows, which names there are.

The EndpointSlice controller, the proxy, policies, DNS and insight all ask here. No I/O, clock, asyncio or chance;
no rule of it is written a second time.
"""
