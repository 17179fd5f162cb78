package main

import (
	"bufio"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAPagesStatementsAreItsConnectionsAlone(t *testing.T) {
	log := `2026-11-25 10:00:00.000 UTC [1] shingle LOG:  statement: BEGIN READ ONLY
2026-11-25 10:00:00.001 UTC [2] shingle LOG:  statement: BEGIN READ ONLY; SELECT set_config('app.tenant_id', 'a', true)
2026-11-25 10:00:00.002 UTC [1] shingle LOG:  statement: SELECT tenant_id FROM generations
2026-11-25 10:00:00.003 UTC [2] shingle LOG:  statement: SELECT 1,
	2
2026-11-25 10:00:00.004 UTC [1] shingle LOG:  statement: COMMIT
2026-11-25 10:00:00.005 UTC [2] shingle LOG:  statement: COMMIT
`
	want := []string{"BEGIN READ ONLY; SELECT set_config('app.tenant_id', 'a', true)", "SELECT 1,\n\t2", "COMMIT"}
	if got := pageOf(log); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if got := pageOf(strings.Split(log, "2026-11-25 10:00:00.005")[0]); len(got) != 0 {
		t.Errorf("a page that has not ended is %q", got)
	}
}

func TestAnswersAreReadToTheirEnd(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" +
		"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" + "HTTP/1.1 303 See Other\r\ncontent-length: 0\r\n\r\n"))
	for _, want := range [][2]int{{200, 5}, {404, 5}, {303, 0}} {
		status, size, err := readResponse(in)
		if err != nil || status != want[0] || size != want[1] {
			t.Errorf("read %d with %d bytes, %v; want %v", status, size, err, want)
		}
	}
	if _, _, err := readResponse(bufio.NewReader(strings.NewReader("nonsense\r\n"))); err == nil {
		t.Error("nonsense is an answer")
	}
}

func TestFiguresAreWhatTheyAreCalled(t *testing.T) {
	var all []time.Duration
	for n := range 200 {
		all = append(all, time.Duration(200-n)*time.Millisecond)
	}
	if q := of(all); q.p50 != 100*time.Millisecond || q.p99 != 198*time.Millisecond {
		t.Errorf("quantiles of 1 to 200 ms: %v", q)
	}
	if e := exponent([]float64{10, 100, 1000}, []float64{5, 5, 5}); math.Abs(e) > 1e-9 {
		t.Errorf("what does not grow has the exponent %f", e)
	}
	if e := exponent([]float64{10, 100, 1000}, []float64{2, 20, 200}); math.Abs(e-1) > 1e-9 {
		t.Errorf("what grows alike has the exponent %f", e)
	}
}
