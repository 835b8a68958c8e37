package pair

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sbarbiter/chaos-tests/lab"
	"sbarbiter/deploy"
)

// adaptation turns the examples' addresses and names into the lab's. Nothing
// else of them is changed.
var adaptation = strings.NewReplacer(
	"192.0.2.30", lab.WitnessAddr,
	"192.0.2.100", GroupAddress,
	"192.0.2.11", lab.NodeA.Addr(),
	"192.0.2.12", lab.NodeB.Addr(),
	"192.0.2.21", lab.NodeA.BMCAddr(),
	"192.0.2.22", lab.NodeB.BMCAddr(),
	"192.0.2.1", lab.GatewayAddr,
	"eth0", "vec0",
	"/srv/nfs", lab.MountPoint,
	"nfs-server.service", lab.WriterUnit,
	"device: /dev/watchdog\n", "device: /dev/watchdog1\n", // the first is User-Mode Linux's own
	"/dev/vg0/r0", "/dev/ubda",
	// A node's own disk has no room for a copy of the other one.
	"\npeer: ", "\nsnapshots: {driver: copy, directory: /h/kept, quota: 4GiB}\npeer: ",
	// Holders are killed here by the minute, and their groups taken over each time.
	"fencing: stonith  ", "hold_time: 0s\nshots_per_hour: none\nfencing: stonith  ",
)

// identities are those of the three hosts and of the operator, by directory.
var identities = map[string][]string{
	"node-a":   {"node", "node-a", "--cluster", Cluster},
	"node-b":   {"node", "node-b", "--cluster", Cluster},
	"witness":  {"witness", "arb", "--address", lab.WitnessAddr},
	"operator": {"operator", "admin"},
}

// witnessStart starts the witness in its directory of the lab, which gets its
// name only with the lab and stands for the witness host's /etc and /var. The
// first time it also declares the cluster, as the operator would before the
// agents are started.
const witnessStart = `(cat witness.yaml; echo "pki: $PWD/pki"; echo "state_dir: $PWD/state") >here.yaml
if ! [ -d state ]; then # asked before the witness, which makes it, is begun
	(until ../bin/sbctl --witness ` + lab.WitnessAddr + ` --pki operator cluster add -f cluster.yaml; do sleep 0.1; done) >declared.log 2>&1 &
fi
exec ../bin/sbwitness --config here.yaml`

// prepare makes credentials and configuration, and says what the lab starts.
func (p *Pair) prepare(ctx context.Context, bin string) (lab.Config, error) {
	cfg := lab.Config{
		Binaries: bin, DiskSize: p.cfg.DiskSize, Log: p.cfg.Log, LogDir: p.cfg.LogDir, Units: []string{"sbagent-guard.service", "sbagent.service"},
		Files:   map[lab.NodeName][]lab.File{},
		Witness: lab.WitnessConfig{Command: []string{"/bin/sh", "-c", witnessStart}},
	}
	issued, err := os.MkdirTemp("", "sbpair-")
	if err != nil {
		return cfg, fmt.Errorf("make directory for credentials: %w", err)
	}
	defer os.RemoveAll(issued)
	if err := issue(ctx, filepath.Join(bin, "sbctl"), issued); err != nil {
		return cfg, err
	}
	for _, n := range []lab.NodeName{lab.NodeA, lab.NodeB} {
		if cfg.Files[n], err = p.nodeFiles(n, issued); err != nil {
			return cfg, err
		}
	}
	cfg.Witness.Files, err = p.witnessFiles(issued)
	return cfg, err
}

// issue makes a CA and a certificate for everybody, with sbctl as on a real
// trusted host.
func issue(ctx context.Context, sbctl, dir string) error {
	ca := filepath.Join(dir, "ca")
	lines := [][]string{{"pki", "init", "--dir", ca}}
	for name, who := range identities {
		line := append([]string{"pki", "issue"}, who...)
		lines = append(lines, append(line, "--dir", ca, "--out", filepath.Join(dir, name)))
	}
	for _, line := range lines {
		if out, err := exec.CommandContext(ctx, sbctl, line...).CombinedOutput(); err != nil {
			return fmt.Errorf("sbctl %s: %w: %s", strings.Join(line, " "), err, out)
		}
	}
	return nil
}

// example reads a file of deploy/examples and adapts it.
func (p *Pair) example(host, name string) ([]byte, error) {
	data, err := deployed("examples", name)
	if err != nil {
		return nil, err
	}
	text := adaptation.Replace(string(data))
	if p.cfg.Edit != nil {
		text = p.cfg.Edit(host, name, text)
	}
	return []byte(text), nil
}

func deployed(path ...string) ([]byte, error) {
	data, err := deploy.Files.ReadFile(strings.Join(path, "/"))
	if err != nil {
		return nil, fmt.Errorf("read what is deployed: %w", err)
	}
	return data, nil
}

func (p *Pair) nodeFiles(n lab.NodeName, issued string) ([]lab.File, error) {
	unit, err := deployed("systemd", "sbagent.service")
	if err != nil {
		return nil, err
	}
	guard, err := deployed("systemd", "sbagent-guard.service")
	if err != nil {
		return nil, err
	}
	resource, err := deployed("drbd", lab.Resource())
	if err != nil {
		return nil, err
	}
	config, err := p.example(string(n), string(n)+".yaml")
	if err != nil {
		return nil, err
	}
	files := []lab.File{
		{Path: "/etc/systemd/system/sbagent.service", Data: unit},
		{Path: "/etc/systemd/system/sbagent-guard.service", Data: guard},
		{Path: "/etc/sbarbiter/node.yaml", Data: config},
		{Path: "/etc/drbd.d/r0.res", Data: []byte(adaptation.Replace(string(resource)))},
		{Path: "/etc/sbarbiter/" + string(n.Peer()) + ".ipmi", Data: []byte(lab.BMCPassword + "\n"), Mode: 0o600},
	}
	credentials, err := filesOf(filepath.Join(issued, string(n)), "/etc/sbarbiter/pki")
	return append(files, credentials...), err
}

// witnessFiles are those of the witness and, as he works on its host, those of
// the operator.
func (p *Pair) witnessFiles(issued string) ([]lab.File, error) {
	var files []lab.File
	for _, name := range []string{"witness.yaml", "cluster.yaml"} {
		text, err := p.example("witness", name)
		if err != nil {
			return nil, err
		}
		files = append(files, lab.File{Path: name, Data: text})
	}
	for from, to := range map[string]string{"witness": "pki", "operator": "operator"} {
		credentials, err := filesOf(filepath.Join(issued, from), to)
		if err != nil {
			return nil, err
		}
		files = append(files, credentials...)
	}
	return files, nil
}

// filesOf are the files of a directory, private, to be put into another.
func filesOf(from, to string) ([]lab.File, error) {
	files, err := lab.FilesUnder(from)
	for i := range files {
		files[i].Path = filepath.Join(to, files[i].Path)
		files[i].Mode = 0o600
	}
	return files, err
}
