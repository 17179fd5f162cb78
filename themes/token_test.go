package themes

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

func TestPresetsPassContrast(t *testing.T) {
	t.Parallel()
	p, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, pack := range p.List() {
		if len(pack.Presets) < 4 {
			t.Errorf("%s: %d presets, want four or more", pack.Key, len(pack.Presets))
		}
		for _, preset := range pack.Presets {
			for _, f := range preset.Tokens.CheckContrast() {
				t.Errorf("%s %s %s: %s on %s is %.2f, needs %.1f: try %s", pack.Key, preset.Key, f.Scheme, f.Text, f.On, f.Ratio, f.Need, f.Offer)
			}
			if len(preset.Tokens.Light) != len(ColorNames) || len(preset.Tokens.Dark) != len(ColorNames) {
				t.Errorf("%s %s: some colours are unset", pack.Key, preset.Key)
			}
		}
	}
}

func TestRepairLeavesNothingUnreadable(t *testing.T) {
	t.Parallel()
	p, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	color := func(s string) Color {
		c, err := ParseColor(s)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, pack := range p.List() {
		for _, primary := range []string{"#ffff00", "#777777", "#00ff88", "#ffffff", "#000000"} {
			l := Look{Pack: pack.Key, Preset: pack.Presets[0].Key, Tokens: Tokens{Light: Palette{"primary": color(primary), "accent": color("#888888")}, Dark: Palette{"primary": color(primary)}}}
			before := len(l.Resolve(p).CheckContrast())
			r, left := l.Repair(p)
			if before == 0 || len(left) > 0 {
				t.Errorf("%s with %s: %d pairs before, left %v", pack.Key, primary, before, left)
			}
			if l.Tokens.Light["primary"] != color(primary) {
				t.Errorf("%s: the look that was given changed", pack.Key)
			}
			if r.Tokens.Light["accent"] != color("#888888") {
				t.Errorf("%s: a ground was changed", pack.Key)
			}
		}
	}
	// What no text colour can mend is said.
	l := Look{Pack: "harbor", Tokens: Tokens{Light: Palette{"background": color("#ffffff"), "card": color("#000000"), "muted": color("#777777")}}}
	if _, left := l.Repair(p); len(left) == 0 {
		t.Error("white and black under one text were called repaired")
	}
}

func TestColors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"#FFF": "#ffffff", "#1d4ed8": "#1d4ed8", "#00000080": "#00000080",
		"rgb(29, 78, 216)": "#1d4ed8", "rgb(29 78 216 / 50%)": "#1d4ed880",
		"0 0% 100%": "hsl(0 0% 100%)", "hsl(222.2 47.4% 11.2%)": "hsl(222.2 47.4% 11.2%)",
		"oklch(0.205 0 0)": "oklch(0.205 0 0)", "oklch(1 0 0 / 10%)": "oklch(1 0 0 / 0.1)", "OKLCH(62.8% 0.25 29)": "oklch(0.628 0.25 29)",
	} {
		c, err := ParseColor(in)
		if err != nil || c.String() != want {
			t.Errorf("ParseColor(%q) = %s, %v; want %s", in, c, err, want)
		}
	}
	for _, in := range []string{"", "red", "#12", "#ggg", "rgb(1,2)", "rgb(1 2 3", "url(x)", "oklch(1 0 0);}", "hsl(NaN 0% 0%)", "var(--x)", strings.Repeat("1", 200)} {
		if c, err := ParseColor(in); err == nil {
			t.Errorf("ParseColor(%q) = %s, want an error", in, c)
		}
	}
	black, white := Color{rgb, 0, 0, 0, 1}, Color{rgb, 1, 1, 1, 1}
	if r := black.Contrast(white); math.Abs(r-21) > 0.01 {
		t.Errorf("black on white: want 21, got %f", r)
	}
	red, err := ParseColor("oklch(0.628 0.2577 29.23)")
	if err != nil || red.Hex() != "#ff0000" {
		t.Errorf("oklch red: want #ff0000, got %s, %v", red.Hex(), err)
	}
}

func TestNeighbourPassesAndKeepsTheHue(t *testing.T) {
	t.Parallel()
	white, _ := ParseColor("#fff")
	for _, in := range []string{"#ffd400", "#7dd3fc", "oklch(0.8 0.15 140)", "#ff8a00"} {
		c, err := ParseColor(in)
		if err != nil {
			t.Fatal(err)
		}
		n := c.Neighbour(4.5, white)
		if r := n.Contrast(white); r < 4.5 {
			t.Errorf("%s: neighbour %s has %.2f", in, n, r)
		}
		_, _, h1 := c.oklch()
		_, _, h2 := n.oklch()
		if math.Abs(h1-h2) > 1 {
			t.Errorf("%s: hue moved from %.1f to %.1f", in, h1, h2)
		}
	}
}

func TestParseShadcn(t *testing.T) {
	t.Parallel()
	tokens, ignored, err := ParseShadcn(`@layer base { :root {
  --background: oklch(1 0 0); --foreground: oklch(0.145 0 0);
  --primary: 221.2 83.2% 53.3%; --radius: 0.625rem; --chart-1: oklch(0.6 0.2 41); --border: var(--x);
} .dark { --background: oklch(0.145 0 0); --primary: oklch(0.922 0 0); } }`)
	if err != nil {
		t.Fatal(err)
	}
	if len(tokens.Light) != 3 || len(tokens.Dark) != 2 || tokens.Radius.String() != "0.625rem" || len(ignored) != 1 {
		t.Errorf("got %d light, %d dark, radius %s, ignored %v", len(tokens.Light), len(tokens.Dark), tokens.Radius, ignored)
	}
	if _, _, err := ParseShadcn("nothing here"); err == nil {
		t.Error("want an error when there is nothing to use")
	}
}

func TestLookSurvivesJSON(t *testing.T) {
	t.Parallel()
	p, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	primary, _ := ParseColor("oklch(0.5 0.2 260)")
	radius, _ := ParseLength("0.5rem")
	l := Look{Pack: "harbor", Preset: "pine", Tokens: Tokens{Light: Palette{"primary": primary}, Radius: radius, FontHeading: "slab"}, Nav: []NavItem{{"About", "/about"}}}
	raw, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var back Look
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	if err := back.Check(p); err != nil {
		t.Errorf("check: %v", err)
	}
	css, hash := back.Stylesheet(p)
	again, _ := l.Stylesheet(p)
	if string(css) != string(again) || len(hash) != 12 || !strings.Contains(string(css), "--primary:oklch(0.5 0.2 260)") || !strings.Contains(string(css), "--radius:0.5rem") {
		t.Errorf("tokens lost on the way: %s", css)
	}
	bad := Look{Pack: "nope", Nav: []NavItem{{"x", "javascript:alert(1)"}}, Tokens: Tokens{Density: 9, FontBody: "Comic Sans; }", Light: Palette{"evil": primary}}}
	if err := bad.Check(p); err == nil {
		t.Error("a look full of mistakes passed")
	}
	if css := string(bad.Tokens.CSS()); strings.Contains(css, "evil") || strings.Contains(css, "Comic") {
		t.Errorf("unknown tokens were printed: %s", css)
	}
}

func FuzzParseColor(f *testing.F) {
	for _, s := range []string{"#fff", "oklch(0.5 0.1 20 / 50%)", "hsl(1 2% 3%)", "0 0% 0%", "rgb(1,2,3,.5)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseColor(s)
		if err != nil {
			return
		}
		out := c.String()
		if strings.ContainsAny(out, ";{}<>\"'") {
			t.Fatalf("%q prints as %q", s, out)
		}
		again, err := ParseColor(out)
		if err != nil || again.String() != out {
			t.Fatalf("%q → %q → %q, %v", s, out, again, err)
		}
	})
}

func FuzzParseShadcn(f *testing.F) {
	f.Add(":root{--primary:#fff;--radius:1px}.dark{--primary:#000}")
	f.Fuzz(func(t *testing.T, s string) {
		tokens, _, err := ParseShadcn(s)
		if err != nil {
			return
		}
		if css := string(tokens.CSS()); strings.ContainsAny(css, "<@") && !strings.Contains(css, "@media screen") {
			t.Fatalf("%q prints %q", s, css)
		}
	})
}

func TestAccentReadsOnALightGround(t *testing.T) {
	t.Parallel()
	white, _ := ParseColor("#fff")
	for _, hex := range []string{"#7cc7e8", "#1f4fd8", "#f0b45a", "#ffffff"} {
		p, err := ParseColor(hex)
		if err != nil {
			t.Fatal(err)
		}
		dark, _ := ParseColor("#04202e")
		accent, on := Tokens{Light: Palette{"primary": p, "primary-foreground": dark}}.Accent()
		a, err := ParseColor(accent)
		if err != nil {
			t.Fatal(err)
		}
		if r := a.Contrast(white); r < 4.5 {
			t.Errorf("%s becomes %s, %.2f on white, want 4.5", hex, accent, r)
		}
		if hex == "#1f4fd8" && (accent != hex || on != "#04202e") {
			t.Errorf("%s reads as it is: got %s with %s", hex, accent, on)
		}
	}
}
