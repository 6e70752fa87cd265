"""The configuration files of a bare node: containerd, CNI, kubelet, kube-proxy, CoreDNS."""

import json

from e2e.cluster.paths import Layout, write_if_changed

NODE_IP = "10.88.0.1"  # both on the loopback device of the cluster's namespace: the kubelet refuses 127.0.0.1
DNS_IP = "10.88.0.10"
POD_RANGE = "10.244.0.0/16"
NODE_POD_RANGE = "10.244.0.0/20"


def write_node_files(layout: Layout, pause_image: str) -> None:
    etc = layout.etc
    write_if_changed(etc / "resolv.conf", "", mode=0o644)  # for CoreDNS and dnsPolicy Default: there is no outside
    write_if_changed(etc / "cni/10-bare.conflist", json.dumps(_cni(), indent=1))
    write_if_changed(etc / "containerd.toml", _containerd(layout, pause_image))
    write_if_changed(etc / "kubelet.json", json.dumps(_kubelet(layout), indent=1))
    write_if_changed(etc / "proxy.json", json.dumps(_proxy(layout), indent=1))
    write_if_changed(etc / "Corefile", _corefile(layout))


def _cni() -> dict[str, object]:
    ipam = {
        "type": "host-local",
        "dataDir": "/run/cni-ipam",
        "ranges": [[{"subnet": NODE_POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": ipam,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "bare", "plugins": [bridge, ports]}


def _containerd(layout: Layout, pause_image: str) -> str:
    # restrict_oom_score_adj: where the machine has no CAP_SYS_RESOURCE every sandbox fails without it, with
    # "runc create failed: can't get final child's PID from pipe".
    return f"""version = 2
root = "{layout.state}/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.native", "io.containerd.internal.v1.opt",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{layout.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  enable_unprivileged_ports = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{layout.etc}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def _kubelet(layout: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": ["pods"],
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "address": NODE_IP,
        "healthzPort": 10248,
        "clusterDNS": [DNS_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": str(layout.etc / "resolv.conf"),
        "evictionHard": {
            "memory.available": "200Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 100,  # what was imported by hand cannot be pulled again
        "imageGCLowThresholdPercent": 99,
        "podLogsDir": f"{layout.log}/pods",
        "volumePluginDir": f"{layout.kubelet}/volume-plugins",
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "serializeImagePulls": False,
        "registerNode": True,
        "maxPods": 200,
        "nodeStatusUpdateFrequency": "5s",
        "nodeStatusReportFrequency": "1m",
    }


def _proxy(layout: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(layout.etc / "proxy.kubeconfig")},
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": layout.name,
        "bindAddress": NODE_IP,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "detectLocalMode": "ClusterCIDR",
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "iptables": {"syncPeriod": "30s", "minSyncPeriod": "100ms", "localhostNodePorts": False},
    }


def _corefile(layout: Layout) -> str:
    # Two blocks: `template` stands before `kubernetes` in CoreDNS's fixed order of plugins. Without the second, an
    # unknown name gives SERVFAIL, which clients retry.
    return f"""cluster.local:53 in-addr.arpa:53 {{
  bind {DNS_IP}
  errors
  health 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {layout.etc}/dns.kubeconfig {layout.name}
    pods insecure
    ttl 5
  }}
  cache 5
}}
.:53 {{
  bind {DNS_IP}
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""
