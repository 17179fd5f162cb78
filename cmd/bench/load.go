package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// connections of the closed loop: enough to keep two cores busy.
const connections = 16

// ask makes the next request of a row: as bytes for the closed loop, as a
// target for the open one.
type ask func() request

type request struct {
	method, host, path string
	header             http.Header
	body               []byte
}

func (r request) bytes(b []byte) []byte {
	b = append(b[:0], r.method...)
	b = append(b, ' ')
	b = append(b, r.path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.host...)
	b = append(b, "\r\nAccept-Encoding: gzip\r\n"...)
	for name, values := range r.header {
		for _, v := range values {
			b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...)
		}
	}
	if r.method != http.MethodGet {
		b = append(append(append(b, "Content-Length: "...), strconv.Itoa(len(r.body))...), "\r\n"...)
	}
	return append(append(b, "\r\n"...), r.body...)
}

// saturation is a closed loop over plain connections: a client that costs more
// than a cached page would measure itself.
func saturation(ctx context.Context, addr string, d time.Duration, next ask, good func(int) bool) (perSecond float64, size int, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var done, bytesRead atomic.Int64
	var mu sync.Mutex
	var failed error
	var all sync.WaitGroup
	begun := time.Now()
	for range connections {
		all.Go(func() {
			err := loop(ctx, addr, &mu, next, good, &done, &bytesRead)
			if err != nil && ctx.Err() == nil {
				mu.Lock()
				failed = errors.Join(failed, err)
				mu.Unlock()
				cancel()
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	if failed != nil {
		return 0, 0, failed
	}
	n := done.Load()
	if n == 0 {
		return 0, 0, errors.New("no request came back")
	}
	return float64(n) / took.Seconds(), int(bytesRead.Load() / n), nil
}

func loop(ctx context.Context, addr string, mu *sync.Mutex, next ask, good func(int) bool, done, bytesRead *atomic.Int64) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })()
	in := bufio.NewReaderSize(c, 64<<10)
	var buf []byte
	for ctx.Err() == nil {
		mu.Lock()
		r := next()
		mu.Unlock()
		buf = r.bytes(buf)
		if _, err := c.Write(buf); err != nil {
			return err
		}
		status, n, err := readResponse(in)
		if err != nil {
			return err
		}
		if !good(status) {
			return fmt.Errorf("%s %s%s answers %d", r.method, r.host, r.path, status)
		}
		done.Add(1)
		bytesRead.Add(int64(n))
	}
	return nil
}

var errMalformed = errors.New("a malformed answer")

// readResponse reads one answer and throws its body away.
func readResponse(in *bufio.Reader) (status, size int, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 12 {
		return 0, 0, errMalformed
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, errMalformed
	}
	length, chunked := 0, false
	for {
		line, err = in.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, 0, errMalformed
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if !chunked {
		_, err = in.Discard(length)
		return status, length, err
	}
	for {
		line, err = in.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(line)), 16, 32)
		if err != nil {
			return 0, 0, errMalformed
		}
		if _, err := in.Discard(int(n) + 2); err != nil {
			return 0, 0, err
		}
		if size += int(n); n == 0 {
			return status, size, nil
		}
	}
}

// quantiles are of latencies.
type quantiles struct{ p50, p99 time.Duration }

func of(all []time.Duration) quantiles {
	slices.Sort(all)
	at := func(q float64) time.Duration {
		if len(all) == 0 {
			return 0
		}
		return all[min(len(all)-1, int(math.Ceil(q*float64(len(all))))-1)]
	}
	return quantiles{at(0.50), at(0.99)}
}

// spares is how many connections the open loop may have under way.
const spares = 64

// open sends at a fixed rate whatever comes back and counts from the moment a
// request was due, so that a slow answer is not hidden by those that it delayed.
// It is the method of wrk2. Libraries for this cost several times a cached page
// for each request, and here the client shares the server's cores.
func open(ctx context.Context, addr string, perSecond float64, d time.Duration, next ask, good func(int) bool) (quantiles, error) {
	ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
	defer cancel()
	every := time.Duration(float64(time.Second) / max(1, perSecond))
	last := int64(d / every)
	var turn atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var all sync.WaitGroup
	begun := time.Now()
	for range spares {
		all.Go(func() {
			mine, err := paced(ctx, addr, begun, every, last, &turn, &mu, next, good)
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, mine...), errors.Join(failed, err)
			if err != nil {
				cancel()
			}
		})
	}
	all.Wait()
	return of(took), failed
}

// paced takes the next request that is due, again and again.
func paced(ctx context.Context, addr string, begun time.Time, every time.Duration, last int64, turn *atomic.Int64, mu *sync.Mutex, next ask, good func(int) bool) (took []time.Duration, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })()
	in := bufio.NewReaderSize(c, 64<<10)
	var buf []byte
	for {
		n := turn.Add(1) - 1
		if n >= last {
			return took, nil
		}
		due := begun.Add(time.Duration(n) * every)
		time.Sleep(time.Until(due))
		mu.Lock()
		r := next()
		mu.Unlock()
		buf = r.bytes(buf)
		if _, err := c.Write(buf); err != nil {
			return took, err
		}
		status, _, err := readResponse(in)
		if err != nil {
			return took, err
		}
		if !good(status) {
			return took, fmt.Errorf("%s %s%s answers %d", r.method, r.host, r.path, status)
		}
		took = append(took, time.Since(due))
	}
}

// drain reads a body to its end, for single requests.
func drain(res *http.Response) ([]byte, error) {
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}
