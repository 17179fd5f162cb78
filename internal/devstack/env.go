package devstack

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// WriteEnv writes settings to dataDir/env, readable by its owner alone, in the
// words of a POSIX shell: after `. .shingle/env` psql, redis-cli and the other
// commands live in the same world. The file is whole at every moment.
//
// redis-cli reads no address from the environment, so dataDir/bin, which the
// file puts into the PATH, holds one that knows it.
func WriteEnv(dataDir string, settings map[string]string) error {
	names := make([]string, 0, len(settings))
	for n := range settings {
		if !variableName.MatchString(n) {
			return fmt.Errorf("%q is no name for an environment variable", n)
		}
		names = append(names, n)
	}
	sort.Strings(names)
	var b strings.Builder
	b.WriteString("# Written by `shingle dev` at each start; for your shell: . " + quote(filepath.Join(dataDir, "env")) + "\n")
	b.WriteString("# psql is the app here, which sees no board's rows by itself; across boards: psql \"$SHINGLE_PLATFORM_DATABASE_URL\"\n")
	for _, n := range names {
		b.WriteString("export " + n + "=" + quote(settings[n]) + "\n")
	}
	bin := filepath.Join(dataDir, "bin")
	wrote, err := writeRedisCLI(bin)
	if err != nil {
		return err
	}
	if wrote {
		b.WriteString("case \":$PATH:\" in *:" + quote(bin) + ":*) ;; *) export PATH=" + quote(bin) + ":\"$PATH\" ;; esac\n")
	}
	return writeAtomic(filepath.Join(dataDir, "env"), []byte(b.String()))
}

// writeRedisCLI makes a redis-cli that goes to SHINGLE_REDIS_URL, when this
// machine has one.
func writeRedisCLI(bin string) (bool, error) {
	real, err := exec.LookPath("redis-cli")
	if err == nil && filepath.Dir(real) == bin { // this shell has read the file before
		return true, nil
	}
	if err != nil {
		return false, os.RemoveAll(bin)
	}
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return false, err
	}
	file := filepath.Join(bin, "redis-cli")
	// redis-cli takes an empty user for a name; the password without one is default's.
	script := "#!/bin/sh\nurl=$SHINGLE_REDIS_URL\ncase $url in *://:*) url=${url%%://*}://default:${url#*://:} ;; esac\n" +
		"exec " + quote(real) + " ${url:+--no-auth-warning -u \"$url\"} \"$@\"\n"
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil { // #nosec G306 -- a program
		return false, err
	}
	return true, nil
}

// quote makes one shell word; inside single quotes only their own kind is special.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// ClientEnv is what psql and redis-cli read from the environment to reach the
// same servers, psql as the app's role. A URL that cannot be read adds nothing.
func ClientEnv(databaseURL, redisURL string) map[string]string {
	env := map[string]string{}
	if u, err := url.Parse(databaseURL); err == nil && u.Host != "" {
		set := func(name, value string) {
			if value != "" {
				env[name] = value
			}
		}
		password, _ := u.User.Password()
		set("PGHOST", u.Hostname())
		set("PGPORT", u.Port())
		set("PGUSER", u.User.Username())
		set("PGPASSWORD", password)
		set("PGDATABASE", strings.TrimPrefix(u.Path, "/"))
		set("PGSSLMODE", u.Query().Get("sslmode"))
	}
	if u, err := url.Parse(redisURL); err == nil {
		if password, ok := u.User.Password(); ok {
			env["REDISCLI_AUTH"] = password
		}
	}
	return env
}
