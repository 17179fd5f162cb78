package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// scale measures what grows: boards that are visited, replicas, listings of one
// board, and how long a start takes.
func (w *world) scale(ctx context.Context, t *table) error {
	for _, step := range []func(context.Context, *table) error{w.coldStart, w.moreReplicas, w.work, w.moreBoards, w.moreListings} {
		if err := step(ctx, t); err != nil {
			return err
		}
		if err := t.keep(); err != nil {
			return err
		}
	}
	info, err := os.Stat(w.o.binary)
	if err != nil {
		return err
	}
	t.notes = append(t.notes, fmt.Sprintf("the program is %d MB on disk; `scripts/image.sh` says what an image of it weighs", info.Size()>>20))
	return nil
}

// coldStart notes the time from starting the process to its first page, and what
// both processes take when they have had nothing to do for a while.
func (w *world) coldStart(ctx context.Context, t *table) error {
	took, err := w.coldStarts(ctx, w.addr, 10)
	if err != nil {
		return err
	}
	if err := w.start(ctx, true, 1); err != nil {
		return err
	}
	defer w.stop()
	if err := wait(ctx, 20*time.Second); err != nil {
		return err
	}
	t.notes = append(t.notes, fmt.Sprintf("cold start to the first page: %.0f ms (median of %d, the slowest %.0f); idle after 20 s: %s",
		ms(of(took).p50), len(took), ms(took[len(took)-1]), w.ownResident()))
	return nil
}

// coldStarts measures so many starts; the times come sorted.
func (w *world) coldStarts(ctx context.Context, addr string, n int) (took []time.Duration, err error) {
	for range n {
		begun := time.Now()
		p, err := w.launch(ctx, "serve", addr, true)
		if err != nil {
			return nil, err
		}
		status, _, err := w.askAt(ctx, addr, request{method: "GET", host: w.boards[0].host, path: "/"})
		took = append(took, time.Since(begun))
		p.kill() // leaving in peace takes longer
		if err != nil || status != 200 {
			return nil, fmt.Errorf("the first page answers %d %w", status, err)
		}
	}
	slices.Sort(took)
	return took, nil
}

// exponent is the least-squares slope in log-log.
func exponent(x, y []float64) float64 {
	var sx, sy, sxx, sxy float64
	n := float64(len(x))
	for i := range x {
		a, b := math.Log(x[i]), math.Log(y[i])
		sx, sy, sxx, sxy = sx+a, sy+b, sxx+a*a, sxy+a*b
	}
	if n < 2 {
		return 0
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// moreReplicas asks one, two and four serves behind a balancer; on one machine
// they share its cores, so this shows what sharing costs, not what it gains.
func (w *world) moreReplicas(ctx context.Context, t *table) error {
	text := "replicas on the same cores, the mix, cache on: "
	for _, n := range []int{1, 2, 4} {
		if err := w.start(ctx, true, n); err != nil {
			return err
		}
		w.warm(ctx)
		d := w.draw(len(w.boards))
		next, good := func() request { return mix(d) }, func(s int) bool { return s < 500 }
		// Each has a page cache of its own to fill.
		_, _, err := saturation(ctx, w.addr, time.Duration(1+n)*w.o.seconds, next, good)
		var most float64
		if err == nil {
			most, _, err = saturation(ctx, w.addr, w.o.seconds, next, good)
		}
		w.stop()
		if err != nil {
			return err
		}
		text += fmt.Sprintf("%d: %.0f requests/s; ", n, most)
	}
	t.notes = append(t.notes, text)
	return nil
}

// balance forwards connections in turn to the serves that are up: a balancer on
// the level of TCP, as a cloud's is.
func (w *world) balance() (err error) {
	if w.balancer, err = net.Listen("tcp", w.addr); err != nil {
		return err
	}
	n, l := len(w.serves), w.balancer
	var turn atomic.Int64
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = in.Close() }()
				// When none is known to be up, all are tried: a check can be late.
				for try := range 2 * n {
					addr, up := w.listening(turn.Add(1))
					if !up && try < n {
						continue
					}
					out, err := net.Dial("tcp", addr)
					if err != nil {
						continue
					}
					defer func() { _ = out.Close() }()
					go func() { _, _ = io.Copy(out, in); _ = out.(*net.TCPConn).CloseWrite() }()
					_, _ = io.Copy(in, out)
					return
				}
			}()
		}
	}()
	return nil
}
