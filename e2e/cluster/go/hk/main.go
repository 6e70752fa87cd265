// One multi-call binary: argv[1] (or the name it is called by) names the component.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kcm "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// node.go adds kubelet and kube-proxy, dns.go CoreDNS, pki.go the keys and certificates.
var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": kcm.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
}

// components with a main of their own kind
var others = map[string]func(){
	"etcd": func() { etcdmain.Main(os.Args) },
}

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if commands[name] == nil && others[name] == nil && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	os.Args = append([]string{name}, args...)
	if run := others[name]; run != nil {
		run()
		return
	}
	if make := commands[name]; make != nil {
		os.Exit(cli.Run(make()))
	}
	names := []string{}
	for n := range commands {
		names = append(names, n)
	}
	for n := range others {
		names = append(names, n)
	}
	sort.Strings(names)
	fmt.Fprintln(os.Stderr, "usage: hk "+strings.Join(names, "|")+" [flags]")
	os.Exit(2)
}
