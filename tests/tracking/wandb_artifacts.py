"""Artifacts on the W&B server of the tests: logged, committed, found by name, downloaded; and how that can fail."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CREATED = "2026-01-01T00:00:00Z"
MANIFEST = "wandb_manifest.json"
INHERITS = -1  # as the time to live of an artifact
Fault = Literal["", "no leave", "storage refuses", "storage is silent", "loses"]


@dataclass
class Artifact:
    """A version of an artifact; `files` are what was uploaded, by their path in it."""

    id: str
    entity: str
    project: str
    name: str
    type: str
    digest: str
    metadata: str
    version: int
    files: dict[str, bytes] = field(default_factory=dict)
    manifest: bytes = b""
    committed: bool = False  # all of it is there


class Artifacts:
    """What the server has of artifacts, and its operations on them."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._all: list[Artifact] = []
        self.fault: Fault = ""
        self.released = threading.Event()  # ends the silence of the storage

    @property
    def committed(self) -> list[Artifact]:
        return [artifact for artifact in self._all if artifact.committed]

    def do_ArtifactType(self, v: Mapping[str, Any]) -> dict[str, Any]:
        found = self._latest(v["project"], v["name"])
        return {"project": {"artifact": {"artifactType": {"name": found.type}} if found else None}}

    def do_CreateArtifact(self, v: Mapping[str, Any]) -> dict[str, Any]:
        """A version whose content is there already is not made twice."""
        given = v["input"]
        if self.fault == "no leave":
            raise PermissionError("no leave to write artifacts")
        name, digest = given["artifactCollectionName"], given["digest"]
        versions = [artifact for artifact in self.committed if artifact.name == name]
        found = next((artifact for artifact in versions if artifact.digest == digest), None)
        if found is None:
            place = (given["entityName"], given["projectName"], name, given["artifactTypeName"])
            found = Artifact(f"artifact{len(self._all)}", *place, digest, given["metadata"], len(versions))
            self._all.append(found)
        state = "COMMITTED" if found.committed else "PENDING"
        return {"createArtifact": {"artifact": {"id": found.id, "state": state, "artifactSequence": {"id": name}}}}

    def do_CreateArtifactManifest(self, v: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self._url()}/artifact/{v['artifactID']}/{MANIFEST}"
        file = {"id": "1", "name": MANIFEST, "uploadUrl": url, "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": v["artifactID"], "file": file}}}

    def do_CreateArtifactFiles(self, v: Mapping[str, Any]) -> dict[str, Any]:
        nodes = []
        for asked in v["input"]["artifactFiles"]:
            names = dict.fromkeys(("id", "name", "displayName", "storagePath"), asked["name"])
            url = f"{self._url()}/artifact/{asked['artifactID']}/files/{asked['name']}"
            nodes.append({**names, "uploadUrl": url, "uploadHeaders": [], "artifact": {"id": asked["artifactID"]}})
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def do_CommitArtifact(self, v: Mapping[str, Any]) -> dict[str, Any]:
        artifact = self._by_id(v["artifactID"])
        contents = json.loads(artifact.manifest)["contents"]
        for name, entry in contents.items():
            md5 = base64.b64encode(hashlib.md5(artifact.files[name]).digest()).decode()
            assert md5 == entry["digest"], f"{name} is not what was announced"
        artifact.committed = self.fault != "loses"
        return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}

    def do_ArtifactMembershipByName(self, v: Mapping[str, Any]) -> dict[str, Any]:
        found = self._latest(v["project"], v["name"])
        return {"project": {"artifactCollectionMembership": _membership(found) if found else None}}

    def do_FetchArtifactManifest(self, v: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self._url()}/artifact/{v['id']}/{MANIFEST}"
        return {"artifact": {"currentManifest": {"file": {"directUrl": url}}}}

    def do_GetArtifactMembershipFileUrls(self, v: Mapping[str, Any]) -> dict[str, Any]:
        versions = [a for a in self.committed if (a.project, a.name) == (v["project"], v["collection"])]
        (found,) = [artifact for artifact in versions if v["alias"] == f"v{artifact.version}"]
        urls = {name: f"{self._url()}/artifact/{found.id}/files/{name}" for name in found.files}
        edges = [{"node": {"__typename": "File", "name": n, "directUrl": url}} for n, url in urls.items()]
        files = {"pageInfo": {"endCursor": None, "hasNextPage": False}, "edges": edges}
        collection = {"__typename": "ArtifactSequence", "artifactMembership": {"files": files}}
        return {"project": {"artifactCollection": collection}}

    def upload(self, path: str, content: bytes) -> bool:
        """Store a file of an artifact, its path behind /artifact/; whether it is taken."""
        if self.fault == "storage is silent":
            self.released.wait(120)
        owner, _, name = path.partition("/")
        artifact = self._by_id(owner)
        if name == MANIFEST:
            artifact.manifest = content
        else:
            artifact.files[name.removeprefix("files/")] = content
        return self.fault != "storage refuses"

    def download(self, path: str) -> bytes:
        """What `upload` stored at that path."""
        owner, _, name = path.partition("/")
        artifact = self._by_id(owner)
        return artifact.manifest if name == MANIFEST else artifact.files[name.removeprefix("files/")]

    def _by_id(self, id: str) -> Artifact:
        return next(artifact for artifact in self._all if artifact.id == id)

    def _latest(self, project: str, name: str) -> Artifact | None:
        """The last version that is there of NAME:latest."""
        found = [a for a in self.committed if (a.project, f"{a.name}:latest") == (project, name)]
        return found[-1] if found else None


def _membership(artifact: Artifact) -> dict[str, Any]:
    """An artifact as the client finds it by its name."""
    project = {
        "id": artifact.project,
        "internalId": "1",
        "name": artifact.project,
        "entity": {"name": artifact.entity},
    }
    sequence = {"__typename": "ArtifactSequence", "name": artifact.name, "project": project}
    alias = {"__typename": "ArtifactAlias", "id": "1", "alias": "latest"}
    about = {"__typename": "Artifact", "id": artifact.id, "artifactSequence": sequence, "state": "COMMITTED"}
    about |= {"versionIndex": artifact.version, "artifactType": {"name": artifact.type}, "description": None}
    about |= {"metadata": artifact.metadata, "ttlDurationSeconds": INHERITS, "ttlIsInherited": True, "tags": []}
    about |= {"historyStep": None, "size": sum(map(len, artifact.files.values())), "digest": artifact.digest}
    about |= {"digestAlgorithm": "MANIFEST_MD5", "commitHash": None, "fileCount": len(artifact.files)}
    about |= {"createdAt": CREATED, "updatedAt": None, "aliases": [alias | {"artifactCollection": sequence}]}
    found = {"__typename": "ArtifactCollectionMembership", "id": "1", "versionIndex": artifact.version}
    return found | {"createdAt": CREATED, "aliases": [alias], "artifactCollection": sequence, "artifact": about}
