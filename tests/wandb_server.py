"""A stand-in for W&B's server on the loopback: it answers what wandb's public API asks, from what a test gives it."""

import base64
import gzip
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import wandb

ENTITY, PROJECT = "me", "p"
WHEN = "2026-11-26T12:00:00Z"
_PROJECT = {"id": "UHJvamVjdA==", "internalId": "1", "name": PROJECT, "entity": {"name": ENTITY}}


@dataclass
class Version:
    """One version of an artifact."""

    name: str
    type: str
    number: int
    aliases: list[str]
    files: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return f"{self.name}-{self.number}"

    def collection(self) -> dict[str, Any]:
        return {"__typename": "ArtifactSequence", "name": self.name, "project": _PROJECT}

    def shown_aliases(self) -> list[dict[str, Any]]:
        return [
            {"__typename": "ArtifactAlias", "id": f"{self.id}-{alias}", "alias": alias,
             "artifactCollection": self.collection()}
            for alias in self.aliases
        ]  # fmt: skip

    def node(self) -> dict[str, Any]:
        return {
            "__typename": "Artifact", "id": self.id, "artifactSequence": self.collection(), "versionIndex": self.number,
            "artifactType": {"name": self.type}, "description": "", "metadata": json.dumps(self.metadata),
            "ttlDurationSeconds": -2, "ttlIsInherited": True, "tags": [], "historyStep": None, "state": "COMMITTED",
            "size": sum(map(len, self.files.values())), "digest": hashlib.md5(self.id.encode()).hexdigest(),
            "commitHash": "0", "fileCount": len(self.files), "createdAt": WHEN, "updatedAt": WHEN,
            "aliases": self.shown_aliases(),
        }  # fmt: skip

    def manifest(self) -> dict[str, Any]:
        def digest(name: str, content: bytes) -> str:
            return self.digests.get(name) or base64.b64encode(hashlib.md5(content).digest()).decode()

        entries = {
            name: {"digest": digest(name, content), "size": len(content), "birthArtifactID": self.id}
            for name, content in self.files.items()
        }
        return {"version": 1, "storagePolicy": "wandb-storage-policy-v1",
                "storagePolicyConfig": {"storageLayout": "V2"}, "contents": entries}  # fmt: skip


@dataclass
class StandIn:
    """What the server has: runs as its answers, artifact versions, inputs of runs, saved views; and what was asked."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    inputs: dict[str, list[str]] = field(default_factory=dict)
    views: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    address: str = ""

    def find(self, name: str, alias: str) -> Version | None:
        ours = [one for one in self.versions if one.name == name]
        return next((one for one in ours if alias in one.aliases or alias == f"v{one.number}"), None)

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The data of an answer; an unknown operation is noted in ``strange``."""
        found = re.search(r"(?:query|mutation)\s+(\w+)", query)
        operation = found[1] if found else "?"
        self.asked.append(operation)
        known = getattr(self, f"_{operation}", None)
        if known is None:
            self.strange.append(f"{operation} {given} {query[:400]}")
            return {}
        return known(given)

    def _ServerFeaturesQuery(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _Viewer(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "1", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": {"edges": []}}}

    def _GetDefaultEntity(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "1", "entity": ENTITY}}

    def _GetProjects(self, given: dict[str, Any]) -> dict[str, Any]:
        user = {"id": "1", "name": ENTITY, "username": ENTITY, "email": None, "admin": False, "flags": None,
                "entity": ENTITY, "deletedAt": None, "apiKeys": None, "teams": None}  # fmt: skip
        node = {"__typename": "Project", "id": "1", "name": PROJECT, "entityName": ENTITY, "createdAt": WHEN,
                "isBenchmark": False, "user": user}  # fmt: skip
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"pageInfo": page, "edges": [{"node": node}]}}

    def _ProjectInternalId(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"id": "1", "internalId": "1"}}

    def _upsertView(self, given: dict[str, Any]) -> dict[str, Any]:
        self.views.append(given)
        own = {"id": f"view{len(self.views)}", "name": given["name"], "displayName": given["displayName"],
               "description": "", "type": given["type"], "updatedAt": WHEN, "spec": given["spec"],
               "project": {"id": "1", "name": PROJECT, "entityName": ENTITY}}  # fmt: skip
        return {"upsertView": {"view": own, "inserted": True}}

    _UpsertView2 = _upsertView

    def _Runs(self, given: dict[str, Any]) -> dict[str, Any]:
        jobs = json.loads(given["filters"])["jobType"]["$in"]
        edges = [{"node": run, "cursor": run["name"]} for run in self.runs if run["jobType"] in jobs]
        page = {"endCursor": None, "hasNextPage": False}
        return {"project": {"internalId": "1", "runCount": len(edges), "readOnly": False,
                            "runs": {"edges": edges, "pageInfo": page}}}  # fmt: skip

    def _ArtifactMembershipByName(self, given: dict[str, Any]) -> dict[str, Any]:
        name, _, alias = given["name"].partition(":")
        found = self.find(name, alias or "latest")
        return {"project": {"artifactCollectionMembership": found and {
            "__typename": "ArtifactCollectionMembership", "id": found.id, "versionIndex": found.number,
            "createdAt": WHEN, "aliases": found.shown_aliases(), "artifactCollection": found.collection(),
            "artifact": found.node(),
        }}}  # fmt: skip

    def _FetchArtifactManifest(self, given: dict[str, Any]) -> dict[str, Any]:
        file = {"directUrl": f"{self.address}/manifest/{given['id']}"}
        return {"artifact": {"currentManifest": {"file": file}}}

    def _GetArtifactMembershipFileUrls(self, given: dict[str, Any]) -> dict[str, Any]:
        found = self.find(given["collection"], given["alias"])
        assert found is not None
        edges = [
            {"node": {"__typename": "File", "name": name, "directUrl": f"{self.address}/file/{found.id}/{name}"}}
            for name in found.files
        ]
        files = {"pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}, "edges": edges}
        return {"project": {"artifactCollection": {"__typename": "ArtifactSequence",
                                                   "artifactMembership": {"files": files}}}}  # fmt: skip

    def _ProjectArtifactCollection(self, given: dict[str, Any]) -> dict[str, Any]:
        found = [one for one in self.versions if (one.name, one.type) == (given["name"], given["type"])]
        node = (
            found[0].collection()
            | {
                "id": given["name"],
                "description": None,
                "createdAt": WHEN,
                "updatedAt": WHEN,
                "type": {"name": given["type"]},
                "tags": {"edges": []},
            }
            if found
            else None
        )
        return {"project": {"artifactType": {"artifactCollection": node}}}

    def _ProjectArtifacts(self, given: dict[str, Any]) -> dict[str, Any]:
        found = [one for one in self.versions if one.name == given["collection"]]
        return {"project": {"artifactType": {"artifactCollection": {
            "__typename": "ArtifactSequence", "artifacts": self._page(found)}}}}  # fmt: skip

    def _RunInputArtifacts(self, given: dict[str, Any]) -> dict[str, Any]:
        own = self.inputs.get(given["run"], [])
        found = [one for one in self.versions if one.id in own]
        return {"project": {"run": {"artifacts": self._page(found)}}}

    def _page(self, found: list[Version]) -> dict[str, Any]:
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        edges = [{"version": f"v{one.number}", "node": one.node()} for one in found]
        return {"totalCount": len(found), "pageInfo": page, "edges": edges}

    def _UseArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        self.inputs.setdefault(given["runName"], []).append(given["artifactID"])
        return {"useArtifact": {"artifact": {"id": given["artifactID"]}}}

    def _DeleteArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        own = given["input"]["artifactID"]
        self.versions = [one for one in self.versions if one.id != own]
        return {"result": {"artifact": {"id": own}}}


@contextmanager
def served(content: StandIn) -> Iterator[None]:
    """The server runs in a thread; ``content.address`` is where it is. At the end W&B forgets that it was logged in."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/graphql":  # W&B's telemetry
                self.send_error(404)
                return
            asked = json.loads(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            answer = {"data": content.answer(asked["query"], asked.get("variables") or {})}
            self._send(json.dumps(answer).encode())

        def do_GET(self) -> None:
            _, kind, own, *rest = self.path.split("/")
            version = next(one for one in content.versions if one.id == own)
            content.asked.append(kind)
            self._send(json.dumps(version.manifest()).encode() if kind == "manifest" else version.files["/".join(rest)])

        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    content.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        wandb.teardown()  # a login of this process is kept with the address, for whatever starts a run next
