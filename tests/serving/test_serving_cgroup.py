"""Threads follow the pod's share of the node, as either version of control groups writes it."""

import pytest

from millgate_serving import cgroup

# The files below the mount, what /proc/self/cgroup says, and the cores.
CASES = [
    ({"cpu.max": "200000 100000\n"}, "0::/\n", 2.0),
    ({"cpu.max": "max 100000\n"}, "0::/\n", None),
    ({"cpu.max": "50000 100000\n"}, "0::/kubepods/pod1\n", 0.5),
    (
        {"cpu.max": "max 100000", "kubepods/cpu.max": "400000 100000", "kubepods/p/cpu.max": "150000 100000"},
        "0::/kubepods/p\n",
        1.5,
    ),
    ({"kubepods/cpu.max": "100000 100000", "kubepods/p/cpu.max": "max 100000"}, "0::/kubepods/p\n", 1.0),
    ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, "5:cpu:/\n", 3.0),
    (
        {"cpu,cpuacct/p/cpu.cfs_quota_us": "25000", "cpu,cpuacct/p/cpu.cfs_period_us": "50000"},
        "4:cpu,cpuacct:/p\n",
        0.5,
    ),
    ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "5:cpu:/\n", None),
    ({"unified/cpu.max": "200000 100000"}, "12:pids:/\n0::/\n", 2.0),
    ({"cpu.max": "nonsense"}, "0::/\n", None),
    ({"cpu.max": "100000 0"}, "0::/\n", None),
    ({}, "0::/../../elsewhere\n", None),
    ({}, "", None),
]


@pytest.mark.parametrize(("files", "own", "cores"), CASES)
def test_the_smallest_quota_on_the_way_to_the_root_counts(tmp_path, files, own, cores):
    mount, groups = tmp_path / "mount", tmp_path / "cgroup"
    for name, text in files.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_text(text)
    groups.write_text(own)
    assert cgroup.cpus(mount, groups) == cores


MEMORY = [
    ({"memory.max": "268435456\n"}, "0::/\n", 256 << 20),
    ({"memory.max": "max\n"}, "0::/\n", None),
    ({"memory.max": "max", "p/memory.max": "1048576"}, "0::/p\n", 1 << 20),
    ({"memory/memory.limit_in_bytes": "1048576\n"}, "9:memory:/\n", 1 << 20),
    ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, "9:memory:/\n", None),
    ({"memory/memory.limit_in_bytes": "1048576\n"}, "5:cpu:/\n", None),
    ({}, "0::/\n", None),
]


@pytest.mark.parametrize(("files", "own", "limit"), MEMORY)
def test_the_smallest_memory_limit_on_the_way_to_the_root_counts(tmp_path, files, own, limit):
    mount, groups = tmp_path / "mount", tmp_path / "cgroup"
    for name, text in files.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_text(text)
    groups.write_text(own)
    assert cgroup.memory_bytes(mount, groups) == limit


@pytest.mark.parametrize(
    ("quota", "available", "threads"),
    [(None, 64, 1), (0.2, 64, 1), (1.9, 64, 1), (2.0, 64, 2), (8.0, 4, 4), (3.5, 2, 2)],
)
def test_a_thread_is_a_whole_core_that_the_pod_has(quota, available, threads):
    assert cgroup.threads(quota, available) == threads


def test_a_machine_without_control_groups_has_no_quota(tmp_path):
    assert cgroup.cpus(tmp_path / "none", tmp_path / "nothing") is None
