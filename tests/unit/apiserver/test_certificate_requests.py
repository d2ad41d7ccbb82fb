"""CertificateSigningRequests as the API server keeps them: who writes which part, and who may."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.requests import body, request
from tests.served import Served

from podling.api.errors import StatusError
from podling.apiserver.identity.pki import Pki
from podling.apiserver.record import User
from podling.client.transport import Call

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
APPROVED = {"type": "Approved", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
DENIED = APPROVED | {"type": "Denied"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Some certificate, as a status carries it."""
    pki = Pki(tmp_path_factory.mktemp("pki"))
    pki.ensure(1_700_000_000.0)
    return base64.b64encode(pki.admin.certificate.read_bytes()).decode()


def test_upstreams_case_of_api_operations(run, certificate):
    """Approval and status are read, patched and updated, each with metadata and its own part of the status."""

    async def main():
        async with Served() as api:
            made = await api.post(CSRS, body())
            assert made["spec"]["username"] == "admin"
            assert made["spec"]["groups"] == ["system:masters", "system:authenticated"]
            assert made["status"] == {}
            assert await api.get(f"{CSRS}/r/approval") == made
            patch = {
                "metadata": {"annotations": {"patchedapproval": "true"}},
                "status": {"conditions": [{"type": "ApprovalPatch", "status": "True", "reason": "e2e"}]},
            }
            patched = await api.patch(f"{CSRS}/r/approval", patch)
            (condition,) = patched["status"]["conditions"]
            assert (condition["type"], condition["reason"]) == ("ApprovalPatch", "e2e")
            assert condition["lastUpdateTime"] == condition["lastTransitionTime"]
            assert patched["metadata"]["annotations"] == {"patchedapproval": "true"}
            patched["status"]["conditions"].append(APPROVED)
            updated = await api.put(f"{CSRS}/r/approval", patched)
            assert [it["type"] for it in updated["status"]["conditions"]] == ["ApprovalPatch", "Approved"]

            assert await api.get(f"{CSRS}/r/status") == updated
            patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"certificate": certificate}}
            answered = await api.patch(f"{CSRS}/r/status", patch)
            assert (answered["status"]["certificate"], len(answered["status"]["conditions"])) == (certificate, 2)
            answered["status"]["conditions"].append({"type": "StatusUpdate", "status": "True", "reason": "E2E"})
            last = await api.put(f"{CSRS}/r/status", answered)
            assert [it["type"] for it in last["status"]["conditions"]] == ["ApprovalPatch", "Approved", "StatusUpdate"]
            kept = await api.put(f"{CSRS}/r", {**last, "status": {}, "spec": {**last["spec"], "username": "me"}})
            assert (kept["status"], kept["spec"]) == (last["status"], made["spec"])

    run(main())


def test_nobody_says_who_she_is(run):
    """User, groups and what else is known of the caller are the server's to say; so is an answer."""

    async def main():
        async with Served() as api:
            lie = body(username="somebody", groups=["system:masters"], uid="1", extra={"a": ["b"]})
            made = await api.post(CSRS, lie | {"status": {"conditions": [APPROVED]}})
            assert (made["spec"]["username"], made["status"]) == ("admin", {})
            assert "uid" not in made["spec"]
            assert "extra" not in made["spec"]

    run(main())


@pytest.mark.parametrize(
    ("subresource", "status", "said"),
    [
        ("approval", {"conditions": [APPROVED, DENIED]}, "Approved and Denied conditions are mutually exclusive"),
        ("approval", {"conditions": [APPROVED | {"status": "False"}]}, 'Unsupported value: "False": supported values: "True"'),
        ("approval", {"conditions": [APPROVED, APPROVED]}, "status.conditions\\[1\\].type: Duplicate value: "),
        ("status", {"conditions": [APPROVED]}, 'updates may not add a condition of type "Approved"'),
        ("status", {"certificate": "YQ=="}, "<certificate data>.*must contain at least one CERTIFICATE PEM block"),
    ],
)  # fmt: skip
def test_what_may_not_be_said(run, subresource, status, said):
    """Each subresource takes its own part only, and that in order."""

    async def main():
        async with Served() as api:
            await api.post(CSRS, body())
            with pytest.raises(StatusError, match=said) as refused:
                await api.patch(f"{CSRS}/r/{subresource}", {"status": status})
            assert refused.value.code == 422

    run(main())


def test_what_was_decided_and_issued_stays(run, certificate):
    """Conditions that decide are never taken back, and a certificate is not replaced."""

    async def main():
        async with Served() as api:
            await api.post(CSRS, body())
            await api.patch(f"{CSRS}/r/approval", {"status": {"conditions": [APPROVED]}})
            with pytest.raises(StatusError, match='updates may not remove a condition of type "Approved"'):
                await api.patch(f"{CSRS}/r/approval", {"status": {"conditions": []}})
            await api.patch(f"{CSRS}/r/status", {"status": {"certificate": certificate}})
            twice = base64.b64encode(base64.b64decode(certificate) * 2).decode()
            with pytest.raises(StatusError, match="updates may not modify existing certificate content"):
                await api.patch(f"{CSRS}/r/status", {"status": {"certificate": twice}})

    run(main())


def test_who_may_approve_and_sign(run, certificate):
    """By rights on signers, in full or by their domain."""

    async def main():
        async with Served() as api:
            roles = "/apis/rbac.authorization.k8s.io/v1"
            rules = [
                {"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests/approval", "certificatesigningrequests/status"], "verbs": ["patch"]},
                {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["approve"], "resourceNames": ["example.com/*"]},
                {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["sign"], "resourceNames": ["example.com/e2e"]},
            ]  # fmt: skip
            await api.post(f"{roles}/clusterroles", {"metadata": {"name": "r"}, "rules": rules})
            ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}
            subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}
            await api.post(
                f"{roles}/clusterrolebindings", {"metadata": {"name": "r"}, "roleRef": ref, "subjects": [subject]}
            )
            jane = api.server.transport(User("jane", ("system:authenticated",)))
            for name in ("e2e", "other"):
                await api.post(CSRS, body(name, f"example.com/{name}"))
            await api.post(CSRS, body("foreign", "example.org/e2e"))

            async def patch(path: str, status: str) -> None:
                data = f'{{"status":{status}}}'.encode()
                await jane.call(Call("PATCH", f"{CSRS}/{path}", (), data, content_type="application/merge-patch+json"))

            approve, sign = '{"conditions":[{"type":"Approved","status":"True"}]}', f'{{"certificate":"{certificate}"}}'
            for name in ("e2e", "other"):
                await patch(f"{name}/approval", approve)
            await patch("e2e/status", sign)
            for path, status, verb, signer in (
                ("foreign/approval", approve, "approve", "example.org/e2e"),
                ("other/status", sign, "sign", "example.com/other"),
            ):
                said = f'user not permitted to {verb} requests with signerName "{signer}"'
                with pytest.raises(StatusError, match=said) as refused:
                    await patch(path, status)
                assert refused.value.code == 403

    run(main())


def test_nobody_becomes_a_master_by_a_client_certificate(run):
    """Not even by a request; another signer's requests are its own affair."""

    async def main():
        async with Served() as api:
            masters = request("me", ("system:masters",))[0]
            with pytest.raises(StatusError, match="signer with system:masters group is not allowed"):
                await api.post(CSRS, body("a", "kubernetes.io/kube-apiserver-client", masters))
            await api.post(CSRS, body("a", "example.com/e2e", masters))

    run(main())


def test_requests_are_selected_by_signer(run):
    """As those look for them who sign."""

    async def main():
        async with Served() as api:
            for name in ("a", "b"):
                await api.post(CSRS, body(name, f"example.com/{name}"))
            listed = await api.get(f"{CSRS}?fieldSelector=spec.signerName=example.com/b")
            assert [it["metadata"]["name"] for it in listed["items"]] == ["b"]

    run(main())


@pytest.mark.parametrize("signer", ["kubernetes.io/kube-apiserver-client", "kubernetes.io/kubelet-serving"])
@pytest.mark.parametrize("names", [b"\xff", b"\x30\x05\x87\x03\x01\x02\x03", b"\x30\x07\xa3\x05\x00\x00\x00\x00\x00"])
def test_what_cannot_be_read_is_refused(run, signer, names):
    """Names of no kind, an address of three bytes, an X.400 address: refusals, before anybody is to sign them."""
    odd = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, names)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(odd, critical=False)
    pem = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)

    async def main():
        async with Served() as api:
            with pytest.raises(StatusError, match="spec.request: Invalid value") as refused:
                await api.post(CSRS, body("a", signer, pem))
            assert refused.value.code == 422

    run(main())
