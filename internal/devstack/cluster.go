package devstack

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"shingle/internal/pg"
)

// elsewhere keeps clusters whose own place Postgres' account cannot reach.
const elsewhere = "/var/lib/shingle"

// ClusterOptions says where a cluster lives and how it is tuned.
type ClusterOptions struct {
	DataDir  string
	Settings map[string]string
	Say      Say
	// Env is added to the postmaster's environment.
	Env []string
}

// Cluster is a private Postgres that listens on 127.0.0.1 and on a socket, and
// asks everybody for a password.
type Cluster struct {
	// Home holds the cluster's files; it is outside the data directory when
	// Postgres' account could not reach that.
	Home string
	// Adopted says that it was running already, left by a process that died.
	Adopted bool

	port  int
	pid   int
	child bool // started by this process, which must collect its end
	state clusterState
	as    *runAs
	env   []string
}

// clusterState is what a cluster remembers beside its data, in a file that
// only the account which made it can read.
type clusterState struct {
	Port    int               `json:"port"`
	Secrets map[string]string `json:"secrets"`
}

const superuser = "postgres"

// StartCluster makes the cluster on first use, and starts or adopts it.
// The caller sees to it that one process at a time does this per data directory.
func StartCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	bin, err := needBinaries(ctx, 0, o.Say)
	if err != nil {
		return nil, err
	}
	as, err := pickAccount(ctx)
	if err != nil {
		return nil, err
	}
	home, err := place(ctx, o.DataDir, as, o.Say)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Home: home, as: as, env: o.Env}
	if err := c.load(); err != nil {
		return nil, err
	}
	if c.adopt(ctx) {
		return c, nil
	}
	v, err := os.ReadFile(filepath.Join(c.data(), "PG_VERSION"))
	if err != nil {
		if err := c.init(ctx, bin); err != nil {
			return nil, err
		}
		return c, c.start(ctx, bin, o.Settings)
	}
	if want, _ := strconv.Atoi(strings.TrimSpace(string(v))); want != bin.major {
		if bin, err = needBinaries(ctx, want, o.Say); err != nil {
			return nil, err
		}
	}
	if c.as, err = ownerOf(c.data(), c.as); err != nil {
		return nil, err
	}
	return c, c.start(ctx, bin, o.Settings)
}

// place finds the cluster's home and writes it to `postgres.home` in the data
// directory, where `make reset` reads it.
func place(ctx context.Context, dataDir string, as *runAs, say Say) (string, error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // Postgres' account must pass through; each secret file is 0600
		return "", err
	}
	marker := filepath.Join(dir, "postgres.home")
	if b, err := os.ReadFile(marker); err == nil {
		home := strings.TrimSpace(string(b))
		if _, err := os.Stat(home); err == nil {
			if !as.reaches(ctx, home) {
				return "", fmt.Errorf("the account that runs Postgres can no longer enter %s: open the way to it, or start afresh with `make reset`", home)
			}
			return home, nil
		}
	}
	home := filepath.Join(dir, "postgres")
	if !as.reaches(ctx, dir) {
		sum := sha256.Sum256([]byte(dir))
		home = filepath.Join(elsewhere, hex.EncodeToString(sum[:6]))
		say("%s cannot be entered by the account %s, which runs Postgres: its files are in %s", dir, as.name, home)
		if err := os.MkdirAll(elsewhere, 0o755); err != nil { //nolint:gosec // passed through by Postgres' account
			return "", err
		}
		// A home without a marker belonged to a data directory that is gone.
		old := &Cluster{Home: home, as: as}
		if err := errors.Join(old.load(), stopLeft(ctx, old), os.RemoveAll(home)); err != nil {
			return "", fmt.Errorf("clearing %s: %w", home, err)
		}
	}
	return home, os.WriteFile(marker, []byte(home+"\n"), 0o600)
}

func stopLeft(ctx context.Context, c *Cluster) error {
	if c.state.Secrets == nil || !c.adopt(ctx) {
		return nil
	}
	return c.Stop(ctx)
}

func (c *Cluster) data() string { return filepath.Join(c.Home, "data") }

// LogFile is where the server writes.
func (c *Cluster) LogFile() string { return filepath.Join(c.Home, "postgres.log") }

func (c *Cluster) stateFile() string { return filepath.Join(c.Home, "state.json") }

// SocketDir holds the unix socket; a socket's whole path must stay under 108 bytes.
func (c *Cluster) SocketDir() string {
	dir := filepath.Join(c.Home, "run")
	if len(dir)+len("/.s.PGSQL.65535.lock") < 100 {
		return dir
	}
	sum := sha256.Sum256([]byte(c.Home))
	return filepath.Join("/tmp", "shingle-"+hex.EncodeToString(sum[:6]))
}

// Secret is the remembered password of one of the roles.
func (c *Cluster) Secret(role string) string { return c.state.Secrets[role] }

// Port is the TCP port on 127.0.0.1.
func (c *Cluster) Port() int { return c.port }

// URL connects a role to a database over TCP.
func (c *Cluster) URL(role, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)), Path: "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// SuperuserURL connects as the cluster's superuser, who sees through every wall:
// for making databases and for tests that look behind them.
func (c *Cluster) SuperuserURL(database string) string {
	return c.URL(superuser, c.Secret(superuser), database)
}

// load reads the remembered state; a cluster that was never made has none.
func (c *Cluster) load() error {
	b, err := os.ReadFile(c.stateFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("the cluster in %s belongs to another user: run as that user, or start afresh with `make reset`", c.Home)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &c.state); err != nil {
		return fmt.Errorf("%s cannot be read: start afresh with `make reset`", c.stateFile())
	}
	return nil
}

func (c *Cluster) save() error {
	b, err := json.MarshalIndent(c.state, "", "  ")
	if err != nil {
		return err
	}
	return writeAtomic(c.stateFile(), append(b, '\n'))
}

// init makes the cluster's files. A half-made cluster, left by a crash, is made
// anew: PG_VERSION is there only when the last attempt came to its end.
func (c *Cluster) init(ctx context.Context, bin binaries) error {
	if err := os.RemoveAll(c.data()); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Home, 0o711); err != nil { //nolint:gosec // Postgres' account passes through
		return err
	}
	c.state = clusterState{Port: firstPort(c.Home), Secrets: map[string]string{}}
	for _, role := range []string{superuser, OwnerRole, AppRole, PlatformRole} {
		c.state.Secrets[role] = secret()
	}
	if err := c.save(); err != nil {
		return err
	}
	// Made under another name, so that a crash cannot leave half a cluster behind.
	making := c.data() + ".new"
	pwfile := filepath.Join(c.Home, "pwfile")
	defer func() { _ = os.Remove(pwfile) }()
	err := errors.Join(
		os.RemoveAll(making),
		os.Mkdir(making, 0o700), c.as.own(making),
		os.WriteFile(pwfile, []byte(c.Secret(superuser)+"\n"), 0o600), c.as.own(pwfile),
	)
	if err != nil {
		return err
	}
	var out []byte
	// C.UTF-8 knows letters beyond ASCII, which pg_trgm and lower() need, and
	// sorts the same everywhere; where it is missing the account's own must do.
	for _, locale := range []string{"C.UTF-8", "en_US.UTF-8"} {
		out, err = c.as.command(ctx, filepath.Join(bin.dir, "initdb"), "-D", making, "-U", superuser,
			"--pwfile="+pwfile, "--auth=scram-sha-256", "--encoding=UTF8", "--locale="+locale, "--no-sync").CombinedOutput()
		if err == nil {
			return os.Rename(making, c.data())
		}
		if !strings.Contains(string(out), "locale") {
			break
		}
	}
	return fmt.Errorf("initdb: %w\n%s", err, tail(out, 1500))
}

func secret() string {
	b := make([]byte, 18)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)
}

// firstPort spreads clusters below the range from which outgoing connections
// take their ports.
func firstPort(home string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(home))
	return 15433 + int(h.Sum32()%15000)
}

// freePort is the wanted port or the next one that nobody has.
func freePort(ctx context.Context, want int) (int, error) {
	for p := want; p < want+200; p++ {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err == nil {
			return p, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port between %d and %d on 127.0.0.1", want, want+200)
}

func settingArgs(settings map[string]string) []string {
	names := make([]string, 0, len(settings))
	for n := range settings {
		names = append(names, n)
	}
	sort.Strings(names)
	var args []string
	for _, n := range names {
		args = append(args, "-c", n+"="+settings[n])
	}
	return args
}

// answers signs in and asks which cluster that is, so that a foreign server on
// a reused port is never taken for ours.
func (c *Cluster) answers(ctx context.Context) error {
	conn, err := pg.Connect(ctx, c.SuperuserURL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var dir string
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&dir); err != nil {
		return err
	}
	if dir != c.data() {
		return fmt.Errorf("port %d is another cluster's", c.port)
	}
	return nil
}

func writeAtomic(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}
