package themes

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"shingle/internal/fault"
)

// Color is a colour that we have read and can print. It keeps the notation it
// came in, so that an owner meets their own value again.
type Color struct {
	space   space
	a, b, c float64 // rgb 0–1; hsl degrees, 0–1, 0–1; oklch 0–1, chroma, degrees
	alpha   float64
}

type space uint8

const (
	rgb space = iota
	hsl
	oklch
)

// ParseColor reads #rgb, #rrggbb(aa), rgb(), rgba(), hsl(), hsla(), oklch() and
// the bare "0 0% 100%" that older shadcn themes use. Kind: fault.Invalid.
func ParseColor(s string) (Color, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	bad := fault.New(fault.Invalid, "%q is not a colour: use #rrggbb, rgb(), hsl() or oklch()", clip(s, 40))
	if len(t) > 80 || t == "" {
		return Color{}, bad
	}
	if t[0] == '#' {
		return parseHex(t[1:], bad)
	}
	name, args, ok := strings.Cut(t, "(")
	if !ok {
		name, args = "hsl", t+")"
	}
	args, ok = strings.CutSuffix(args, ")")
	if !ok {
		return Color{}, bad
	}
	main, alpha, hasAlpha := strings.Cut(args, "/")
	parts := strings.FieldsFunc(main, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\n' })
	if len(parts) == 4 && !hasAlpha {
		parts, alpha, hasAlpha = parts[:3], parts[3], true
	}
	if len(parts) != 3 {
		return Color{}, bad
	}
	c := Color{alpha: 1}
	var err [4]error
	switch strings.TrimSpace(name) {
	case "rgb", "rgba":
		c.space = rgb
		c.a, err[0] = component(parts[0], 255, 0, 1)
		c.b, err[1] = component(parts[1], 255, 0, 1)
		c.c, err[2] = component(parts[2], 255, 0, 1)
	case "hsl", "hsla":
		c.space = hsl
		c.a, err[0] = angle(parts[0])
		c.b, err[1] = component(parts[1], 100, 0, 1)
		c.c, err[2] = component(parts[2], 100, 0, 1)
	case "oklch":
		c.space = oklch
		c.a, err[0] = component(parts[0], 1, 0, 1)
		c.b, err[1] = component(parts[1], 1, 0, 0.5)
		if strings.HasSuffix(parts[1], "%") {
			c.b *= 0.4
		}
		c.c, err[2] = angle(parts[2])
	default:
		return Color{}, bad
	}
	if hasAlpha {
		c.alpha, err[3] = component(strings.TrimSpace(alpha), 1, 0, 1)
	}
	for _, e := range err {
		if e != nil {
			return Color{}, bad
		}
	}
	return c, nil
}

func parseHex(h string, bad error) (Color, error) {
	if len(h) == 3 || len(h) == 4 {
		var long []byte
		for i := range len(h) {
			long = append(long, h[i], h[i])
		}
		h = string(long)
	}
	if len(h) != 6 && len(h) != 8 {
		return Color{}, bad
	}
	n, err := strconv.ParseUint(h, 16, 64)
	if err != nil {
		return Color{}, bad
	}
	alpha := 1.0
	if len(h) == 8 {
		alpha, n = float64(n&255)/255, n>>8
	}
	return Color{rgb, float64(n>>16) / 255, float64(n>>8&255) / 255, float64(n&255) / 255, alpha}, nil
}

// component reads a number or percentage, divides a number by unit, and keeps
// it within bounds.
func component(s string, unit, lo, hi float64) (float64, error) {
	if s == "none" {
		return lo, nil
	}
	if p, ok := strings.CutSuffix(s, "%"); ok {
		s, unit = p, 100
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("not a number")
	}
	return min(max(v/unit, lo), hi), nil
}

func angle(s string) (float64, error) {
	if s == "none" {
		return 0, nil
	}
	v, err := strconv.ParseFloat(strings.TrimSuffix(s, "deg"), 64)
	if err != nil || math.IsNaN(v) || math.Abs(v) > 3600 {
		return 0, fmt.Errorf("not an angle")
	}
	return math.Mod(math.Mod(v, 360)+360, 360), nil
}

// String prints the colour as CSS, in the notation it was read in.
func (c Color) String() string {
	tail := ")"
	if c.alpha < 1 {
		tail = " / " + num(c.alpha, 3) + ")"
	}
	switch c.space {
	case hsl:
		return "hsl(" + num(c.a, 1) + " " + num(c.b*100, 1) + "% " + num(c.c*100, 1) + "%" + tail
	case oklch:
		return "oklch(" + num(c.a, 4) + " " + num(c.b, 4) + " " + num(c.c, 2) + tail
	}
	r, g, b := byte255(c.a), byte255(c.b), byte255(c.c)
	if c.alpha < 1 {
		return fmt.Sprintf("#%02x%02x%02x%02x", r, g, b, byte255(c.alpha))
	}
	return fmt.Sprintf("#%02x%02x%02x", r, g, b)
}

// Hex is the nearest sRGB colour without its alpha, for a colour input.
func (c Color) Hex() string {
	r, g, b := c.srgb()
	return fmt.Sprintf("#%02x%02x%02x", byte255(r), byte255(g), byte255(b))
}

// IsZero reports an unset colour.
func (c Color) IsZero() bool { return c == Color{} }

// MarshalText implements encoding.TextMarshaler.
func (c Color) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Color) UnmarshalText(b []byte) error {
	v, err := ParseColor(string(b))
	if err == nil {
		*c = v
	}
	return err
}

// Contrast is WCAG's ratio, 1 to 21, of a text in c on an opaque ground.
func (c Color) Contrast(on Color) float64 {
	gr, gg, gb := on.srgb()
	r, g, b := c.srgb()
	mix := func(f, g float64) float64 { return f*c.alpha + g*(1-c.alpha) }
	l1 := luminance(mix(r, gr), mix(g, gg), mix(b, gb))
	l2 := luminance(gr, gg, gb)
	return (max(l1, l2) + 0.05) / (min(l1, l2) + 0.05)
}

// Neighbour is the colour nearest to c in lightness, of the same hue, that
// reaches the ratio on every one of the grounds; c itself when it does already.
// It falls back to black or white, whichever is better.
func (c Color) Neighbour(ratio float64, grounds ...Color) Color {
	passes := func(x Color) bool {
		for _, g := range grounds {
			if x.Contrast(g) < ratio {
				return false
			}
		}
		return true
	}
	if passes(c) {
		return c
	}
	l, ch, h := c.oklch()
	for step := 1; step <= 200; step++ {
		d := float64(step) * 0.005
		for _, nl := range [2]float64{l - d, l + d} {
			if nl < 0 || nl > 1 {
				continue
			}
			// Chroma that sRGB can't show at this lightness is given up first.
			if x := (Color{oklch, round(nl, 4), round(ch, 4), round(h, 2), 1}).inGamut(); passes(x) {
				return x
			}
		}
	}
	black, white := Color{rgb, 0, 0, 0, 1}, Color{rgb, 1, 1, 1, 1}
	worst := func(x Color) float64 {
		m := 21.0
		for _, g := range grounds {
			m = min(m, x.Contrast(g))
		}
		return m
	}
	if worst(black) >= worst(white) {
		return black
	}
	return white
}

func (c Color) inGamut() Color {
	for c.b > 0.001 {
		r, g, b := oklchToLinear(c.a, c.b, c.c)
		if min(r, g, b) >= -0.0005 && max(r, g, b) <= 1.0005 {
			return c
		}
		c.b = round(c.b*0.95, 4)
	}
	return c
}

func (c Color) srgb() (r, g, b float64) {
	switch c.space {
	case hsl:
		return hslToRGB(c.a, c.b, c.c)
	case oklch:
		r, g, b = oklchToLinear(c.a, c.b, c.c)
		return gamma(r), gamma(g), gamma(b)
	}
	return c.a, c.b, c.c
}

func (c Color) oklch() (l, ch, h float64) {
	if c.space == oklch {
		return c.a, c.b, c.c
	}
	r, g, b := c.srgb()
	r, g, b = linear(r), linear(g), linear(b)
	// Ottosson's matrices.
	lc := math.Cbrt(0.4122214708*r + 0.5363325363*g + 0.0514459929*b)
	mc := math.Cbrt(0.2119034982*r + 0.6806995451*g + 0.1073969566*b)
	sc := math.Cbrt(0.0883024619*r + 0.2817188376*g + 0.6299787005*b)
	l = 0.2104542553*lc + 0.7936177850*mc - 0.0040720468*sc
	A := 1.9779984951*lc - 2.4285922050*mc + 0.4505937099*sc
	B := 0.0259040371*lc + 0.7827717662*mc - 0.8086757660*sc
	return l, math.Hypot(A, B), math.Mod(math.Atan2(B, A)*180/math.Pi+360, 360)
}

func oklchToLinear(l, c, h float64) (r, g, b float64) {
	sin, cos := math.Sincos(h * math.Pi / 180)
	A, B := c*cos, c*sin
	lc := l + 0.3963377774*A + 0.2158037573*B
	mc := l - 0.1055613458*A - 0.0638541728*B
	sc := l - 0.0894841775*A - 1.2914855480*B
	lc, mc, sc = lc*lc*lc, mc*mc*mc, sc*sc*sc
	return 4.0767416621*lc - 3.3077115913*mc + 0.2309699292*sc,
		-1.2684380046*lc + 2.6097574011*mc - 0.3413193965*sc,
		-0.0041960863*lc - 0.7034186147*mc + 1.7076147010*sc
}

func hslToRGB(h, s, l float64) (r, g, b float64) {
	f := func(n float64) float64 {
		k := math.Mod(n+h/30, 12)
		return l - s*min(l, 1-l)*max(-1, min(k-3, 9-k, 1))
	}
	return f(0), f(8), f(4)
}

func linear(v float64) float64 {
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

func gamma(v float64) float64 {
	v = min(max(v, 0), 1)
	if v <= 0.0031308 {
		return v * 12.92
	}
	return 1.055*math.Pow(v, 1/2.4) - 0.055
}

func luminance(r, g, b float64) float64 {
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}

func byte255(v float64) int { return int(math.Round(min(max(v, 0), 1) * 255)) }

func round(v float64, places int) float64 {
	p := math.Pow10(places)
	return math.Round(v*p) / p
}

func num(v float64, places int) string {
	return strconv.FormatFloat(round(v, places), 'f', -1, 64)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
