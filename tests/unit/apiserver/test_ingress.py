"""Ingresses, their classes and Pod templates, as the API server keeps them. No controller acts on them, as upstream."""

from __future__ import annotations

from tests.served import Served

INGRESSES = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"
TEMPLATES = "/api/v1/namespaces/default/podtemplates"
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}


def ingress(name: str, annotations: dict | None = None, **spec: object) -> dict:
    return {"metadata": {"name": name, "annotations": annotations or {}}, "spec": {"defaultBackend": BACKEND, **spec}}


def ingress_class(name: str, *, default: bool = True) -> dict:
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true" if default else "false"}
    return {"metadata": {"name": name, "annotations": annotations}, "spec": {"controller": "example.com/c"}}


def test_the_youngest_default_class_is_the_one(run):
    """An Ingress gets the default class, of several the youngest, unless it names one, by field or annotation."""

    async def main():
        async with Served() as api:
            assert "ingressClassName" not in (await api.post(INGRESSES, ingress("before")))["spec"]
            await api.post(CLASSES, ingress_class("no", default=False))
            for name in ("b", "a"):
                await api.post(CLASSES, ingress_class(name))
            assert (await api.post(INGRESSES, ingress("same-second")))["spec"]["ingressClassName"] == "a"
            await api.clock.advance(1)
            await api.post(CLASSES, ingress_class("young"))
            assert (await api.post(INGRESSES, ingress("later")))["spec"]["ingressClassName"] == "young"
            own = await api.post(INGRESSES, ingress("own", ingressClassName="mine"))
            assert own["spec"]["ingressClassName"] == "mine"
            old = await api.post(INGRESSES, ingress("old", {"kubernetes.io/ingress.class": "mine"}))
            assert "ingressClassName" not in old["spec"]

    run(main())


def test_who_names_a_class_by_annotation_is_warned(run):
    """On creation alone, and not where the field says the same."""
    annotation = {"kubernetes.io/ingress.class": "mine"}

    async def main():
        async with Served() as api:
            told = (await api.ask("POST", INGRESSES, ingress("old", annotation))).warnings
            assert told == (
                "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead",
            )
            both = await api.ask("POST", INGRESSES, ingress("both", annotation, ingressClassName="mine"))
            again = await api.ask("PUT", f"{INGRESSES}/old", ingress("old", annotation))
            assert (both.warnings, again.warnings) == ((), ())

    run(main())


def test_a_template_is_checked_completed_and_counted(run):
    """A template gets a Pod's defaults, raises the generation when it changes, and warns as a Pod would."""
    inner = {"spec": {"containers": [{"name": "c", "image": "i"}], "nodeSelector": {"beta.kubernetes.io/os": "linux"}}}
    body = {"metadata": {"name": "t"}, "template": inner}

    async def main():
        async with Served() as api:
            answer = await api.ask("POST", TEMPLATES, body)
            (told,) = answer.warnings
            assert told.startswith("template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14")
            made = await api.get(f"{TEMPLATES}/t")
            assert (made["metadata"]["generation"], made["template"]["spec"]["restartPolicy"]) == (1, "Always")
            same = await api.ask("PATCH", f"{TEMPLATES}/t", {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)
            assert same.warnings == ()
            change = {"template": {"spec": {"terminationGracePeriodSeconds": 3}}}
            changed = await api.ask("PATCH", f"{TEMPLATES}/t", change, content_type=MERGE)
            assert changed.warnings == (told,)
            assert (await api.get(f"{TEMPLATES}/t"))["metadata"]["generation"] == 2

    run(main())


MERGE = "application/merge-patch+json"
