package testkit

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// The npm package axe-core 4.14.1, one compiled file; its licence lies beside it.
//
//go:embed axe/axe.min.js
var axeSource string

// axeViolation is the part of axe's answer that a reader needs.
type axeViolation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		Target  string `json:"target"`
		HTML    string `json:"html"`
		Summary string `json:"summary"`
	} `json:"nodes"`
}

// Frames are pages of their own, looked at as such: axe is not in them, and what
// it would send to a sandboxed one the browser refuses.
const runAxe = `axe.run(document, {resultTypes: ["violations"], preload: false, iframes: false}).then(r => r.violations.map(v => ({
	id: v.id, impact: v.impact || "", help: v.help,
	nodes: v.nodes.map(n => ({target: n.target.join(" "), html: n.html, summary: n.failureSummary || ""})),
})))`

// Axe checks the page on show with axe-core's standard rules and fails the test
// with each violation, the elements that have it and what would mend them.
func Axe(t testing.TB, ctx context.Context) { //nolint:revive // t first, as in all of testkit
	t.Helper()
	bringAxe(t, ctx)
	axe(t, ctx)
}

// bringAxe loads axe into the page on show, through the protocol, which the
// page's own policy does not hinder.
func bringAxe(t testing.TB, ctx context.Context) { //nolint:revive // t first, as in all of testkit
	t.Helper()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](axeSource+"\n;true")); err != nil {
		t.Fatalf("loading axe: %v", err)
	}
}

func axe(t testing.TB, ctx context.Context) { //nolint:revive // t first, as in all of testkit
	t.Helper()
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]axeViolation](runAxe, chromedp.EvalAwaitPromise))
	at := "an unknown address"
	if where, lerr := chromedp.Run(ctx, chromedp.Location()); lerr == nil {
		at = where
	}
	if err != nil {
		t.Fatalf("axe on %s: %v", at, err)
	}
	if len(found) > 0 {
		t.Errorf("axe finds %d violations on %s:\n%s", len(found), at, describe(found))
	}
}

func describe(found []axeViolation) string {
	var b strings.Builder
	for _, v := range found {
		_, _ = fmt.Fprintf(&b, "  %s (%s): %s\n", v.ID, v.Impact, v.Help)
		for i, n := range v.Nodes {
			if i == 5 {
				_, _ = fmt.Fprintf(&b, "    … and %d more\n", len(v.Nodes)-i)
				break
			}
			html := n.HTML
			if len(html) > 200 {
				html = html[:200] + "…"
			}
			_, _ = fmt.Fprintf(&b, "    %s\n      %s\n      %s\n", n.Target, html, strings.ReplaceAll(n.Summary, "\n", "\n      "))
		}
	}
	return b.String()
}
