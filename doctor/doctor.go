// Package doctor says what is right with an installation, what is not and what
// to do. It reads and asks, and changes nothing. Start at Examine.
package doctor

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"shingle/internal/config"
	"shingle/internal/dns"
)

// Level is how bad a finding is.
type Level string

// The levels; only NO ends the program with 1.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Bad  Level = "NO"
)

// Finding is one line of the table.
type Finding struct {
	Area  string `json:"area"`
	What  string `json:"what"`
	Level Level  `json:"level"`
	// Found is what was seen; Todo what helps, for warnings and worse.
	Found string `json:"found,omitempty"`
	Todo  string `json:"todo,omitempty"`
}

// Doctor has what the checks need.
type Doctor struct {
	Config *config.Config
	// Problems are those of the settings for serving and working.
	Problems []string
	DNS      *dns.Client
	Now      func() time.Time
	// Room tells the free and the whole bytes of a folder's disk; nil asks the system.
	Room func(dir string) (free, all uint64, err error)

	// real takes the API's address for Stripe's own, for tests.
	real bool
}

// list collects the findings of an area.
type list struct {
	area string
	out  []Finding
}

func (l *list) ok(what, found string, args ...any) {
	l.out = append(l.out, Finding{l.area, what, OK, fmt.Sprintf(found, args...), ""})
}

func (l *list) warn(what, todo, found string, args ...any) {
	l.out = append(l.out, Finding{l.area, what, Warn, fmt.Sprintf(found, args...), todo})
}

func (l *list) bad(what, todo, found string, args ...any) {
	l.out = append(l.out, Finding{l.area, what, Bad, fmt.Sprintf(found, args...), todo})
}

// Examine makes every check. Each has ten seconds; one that is stuck does not
// hold up the next.
func (d *Doctor) Examine(ctx context.Context) []Finding {
	var out []Finding
	for _, c := range []struct {
		area string
		run  func(context.Context, *list)
	}{
		{"settings", d.settings}, {"Postgres", d.postgres}, {"schema", d.schema}, {"audit log", d.audit}, {"work", d.work}, {"backups", d.backups}, {"Redis", d.redis},
		{"search", d.search}, {"Stripe", d.stripe}, {"mail", d.mail}, {"DNS", d.names}, {"certificates", d.certificates}, {"certificates", d.served}, {"clock", d.clock}, {"disk", d.disk},
	} {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		l := &list{area: c.area}
		c.run(ctx, l)
		cancel()
		out = append(out, l.out...)
	}
	return out
}

// Worst is the worst level among findings.
func Worst(found []Finding) Level {
	worst := OK
	for _, f := range found {
		if f.Level == Bad {
			return Bad
		}
		if f.Level == Warn {
			worst = Warn
		}
	}
	return worst
}

func (d *Doctor) settings(_ context.Context, l *list) {
	for _, p := range d.Problems {
		l.bad("Settings", "set it and start again; docs/operations.md lists them", "%s", p)
	}
	if len(d.Problems) == 0 {
		l.ok("Settings", "complete for serve and worker")
	}
}

const (
	littleRoom = 10 // percent
	noRoom     = 2
)

func (d *Doctor) disk(_ context.Context, l *list) {
	room := d.Room
	if room == nil {
		room = systemRoom
	}
	free, all, err := room(d.Config.DataDir)
	if err != nil || all == 0 {
		l.ok("Disk of the data folder", "no such folder here: nothing is kept on this machine")
		return
	}
	percent := int(free * 100 / all) // #nosec G115 -- 0 to 100
	const todo = "make room, or move SHINGLE_DATA_DIR to a larger disk"
	switch {
	case percent < noRoom:
		l.bad("Disk of the data folder", todo, "%d %% free (%d MB)", percent, free>>20)
	case percent < littleRoom:
		l.warn("Disk of the data folder", todo, "%d %% free (%d MB)", percent, free>>20)
	default:
		l.ok("Disk of the data folder", "%d %% free", percent)
	}
}

func systemRoom(dir string) (free, all uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	size := uint64(s.Bsize) // #nosec G115 -- a block size is positive
	return s.Bavail * size, s.Blocks * size, nil
}
