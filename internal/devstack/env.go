package devstack

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// WriteEnv writes settings to dataDir/env, readable by its owner alone, in the
// words of a POSIX shell: after `. .shingle/env` psql, redis-cli and the other
// commands live in the same world. The file is whole at every moment.
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
	for _, n := range names {
		b.WriteString("export " + n + "=" + quote(settings[n]) + "\n")
	}
	return writeAtomic(filepath.Join(dataDir, "env"), []byte(b.String()))
}

// quote makes one shell word; inside single quotes only their own kind is special.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// ClientEnv is what psql and redis-cli read from the environment to reach the
// same servers, psql as the app's role. A URL that cannot be read adds nothing.
// redis-cli takes its host and port from `redis-cli -u "$SHINGLE_REDIS_URL"`.
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
