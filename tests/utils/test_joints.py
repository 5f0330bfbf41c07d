from models.landmarks import SMPL_PICKED_VERTICES
from utils.joints import (
    BODY_MODEL_JOINTS,
    COCO17_IN_90,
    H36M_JOINTS,
    LSP14_IN_90,
    PARTS,
    PARTS_SWAP,
    PICKED_JOINTS,
    PICKED_SMPLX_NAMES,
    SMPL_JOINTS,
    SMPL_PARENTS,
    SMPL_SWAP,
)


def test_maps_built_by_name_are_the_published_ones():
    assert len(BODY_MODEL_JOINTS) == len(set(BODY_MODEL_JOINTS)) == 90
    assert COCO17_IN_90 == (24, 26, 25, 28, 27, 16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)
    assert BODY_MODEL_JOINTS[73:] == H36M_JOINTS
    lsp_in_h36m = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)
    assert tuple(73 + index for index in lsp_in_h36m) == LSP14_IN_90


def test_swaps_are_their_own_inverse_and_keep_the_middle():
    for names, swap in ((SMPL_JOINTS, SMPL_SWAP), (PARTS, PARTS_SWAP)):
        assert [swap[swap[index]] for index in range(len(names))] == list(range(len(names)))
        for name, other in zip(names, swap, strict=True):
            assert (names[other] == name) == ("left" not in name and "right" not in name)


def test_parents_come_before_their_children():
    assert all(parent < child for child, parent in enumerate(SMPL_PARENTS))


def test_picked_vertices_are_those_of_smplx():
    from smplx.vertex_ids import vertex_ids

    expected = [vertex_ids["smplh"][name] for name in PICKED_SMPLX_NAMES]
    assert [SMPL_PICKED_VERTICES[name] for name in PICKED_JOINTS] == expected
