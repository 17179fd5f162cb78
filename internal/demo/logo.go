package demo

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// Marks are the geometric signs that a logo can be drawn with; each is drawn on
// a square of 96 units in two inks.
var marks = map[string]func(ink, second string) string{
	"rings": func(ink, second string) string {
		return stroke(ink, 7, `<circle cx="38" cy="48" r="19"/>`) + stroke(second, 7, `<circle cx="58" cy="48" r="19"/>`)
	},
	"orbit": func(ink, second string) string {
		return stroke(ink, 6, `<ellipse cx="48" cy="48" rx="34" ry="14" transform="rotate(-32 48 48)"/>`) +
			fill(second, `<circle cx="48" cy="48" r="11"/><circle cx="75" cy="27" r="6"/>`)
	},
	"waves": func(ink, second string) string {
		return stroke(ink, 7, `<path d="M14 38c9-11 18-11 26 0s17 11 26 0 12-9 16-6"/>`) +
			stroke(second, 7, `<path d="M14 58c9-11 18-11 26 0s17 11 26 0 12-9 16-6"/>`)
	},
	"tide": func(ink, second string) string {
		return fill(second, `<circle cx="60" cy="34" r="12"/>`) +
			fill(ink, `<path d="M12 56c12-12 24-12 36 0s24 12 36 0v14c0 7-5 12-12 12H24c-7 0-12-5-12-12z"/>`)
	},
	"chevrons": func(ink, second string) string {
		return stroke(second, 8, `<path d="M26 30l20 18-20 18"/>`) + stroke(ink, 8, `<path d="M48 30l20 18-20 18"/>`)
	},
	"hexagon": func(ink, second string) string {
		return stroke(ink, 7, `<path d="M48 18l26 15v30L48 78 22 63V33z"/>`) + fill(second, `<circle cx="48" cy="48" r="9"/>`)
	},
	"quarters": func(ink, second string) string {
		return fill(ink, `<path d="M46 46H20a26 26 0 0 1 26-26z"/><path d="M50 50h26a26 26 0 0 1-26 26z"/>`) +
			fill(second, `<path d="M50 46V20a26 26 0 0 1 26 26z"/><path d="M46 50v26a26 26 0 0 1-26-26z"/>`)
	},
	"bars": func(ink, second string) string {
		return fill(second, `<rect x="22" y="50" width="12" height="24" rx="3"/><rect x="62" y="36" width="12" height="38" rx="3"/>`) +
			fill(ink, `<rect x="42" y="22" width="12" height="52" rx="3"/>`)
	},
	"grid": func(ink, second string) string {
		var out strings.Builder
		for i := range 9 {
			c := ink
			if i%4 == 2 || i == 4 {
				c = second
			}
			out.WriteString(fill(c, fmt.Sprintf(`<circle cx="%d" cy="%d" r="7"/>`, 28+20*(i%3), 28+20*(i/3))))
		}
		return out.String()
	},
	"leaf": func(ink, second string) string {
		return fill(ink, `<path d="M24 72c-4-32 14-50 50-50 2 34-16 54-50 50z"/>`) +
			stroke(second, 5, `<path d="M26 70l28-28"/>`)
	},
	"sun": func(ink, second string) string {
		var rays strings.Builder
		for i := range 8 {
			x, y := math.Cos(float64(i)*math.Pi/4), math.Sin(float64(i)*math.Pi/4)
			fmt.Fprintf(&rays, `<path d="M%.1f %.1fL%.1f %.1f"/>`, 48+24*x, 48+24*y, 48+33*x, 48+33*y)
		}
		return fill(ink, `<circle cx="48" cy="48" r="15"/>`) + stroke(second, 6, rays.String())
	},
	"peaks": func(ink, second string) string {
		return fill(second, `<path d="M44 72l18-30 20 30z"/>`) + fill(ink, `<path d="M14 72l24-44 24 44z"/>`)
	},
	"heart": func(ink, second string) string {
		return fill(ink, `<path d="M48 76C22 58 18 46 20 36c3-14 20-16 28-3 8-13 25-11 28 3 2 10-2 22-28 40z"/>`) +
			stroke(second, 6, `<path d="M48 42v18M39 51h18"/>`)
	},
	"house": func(ink, second string) string {
		return fill(ink, `<path d="M48 20l30 24v30H18V44z"/>`) + fill(second, `<path d="M40 74V56a8 8 0 0 1 16 0v18z"/>`)
	},
	"cross": func(ink, second string) string {
		return fill(ink, `<rect x="39" y="20" width="18" height="56" rx="6"/>`) +
			fill(second, `<rect x="20" y="39" width="56" height="18" rx="6"/>`) + fill(ink, `<rect x="39" y="39" width="18" height="18"/>`)
	},
	"sail": func(ink, second string) string {
		return fill(ink, `<path d="M46 18v44H20z"/>`) + fill(second, `<path d="M51 28l24 34H51z"/>`) +
			stroke(ink, 6, `<path d="M18 72h60"/>`)
	},
	"turbine": func(ink, second string) string {
		return stroke(second, 6, `<path d="M48 44v36"/>`) +
			fill(ink, `<path d="M48 44l-4-28h8zM48 44l26 10-4 7zM48 44L26 61l-4-7z"/><circle cx="48" cy="44" r="6"/>`)
	},
	"anchor": func(ink, second string) string {
		return stroke(ink, 6, `<path d="M48 32v44M22 54c2 14 12 22 26 22s24-8 26-22"/>`) + stroke(second, 6, `<circle cx="48" cy="25" r="7"/><path d="M36 42h24"/>`)
	},
	"fish": func(ink, second string) string {
		return fill(ink, `<path d="M14 48c14-22 38-22 52 0-14 22-38 22-52 0z"/><path d="M62 48l20-16v32z"/>`) + fill(second, `<circle cx="30" cy="44" r="4"/>`)
	},
	"drop": func(ink, second string) string {
		return fill(ink, `<path d="M48 14c16 20 24 32 24 42a24 24 0 0 1-48 0c0-10 8-22 24-42z"/>`) + stroke(second, 5, `<path d="M36 58c1 6 5 10 11 11"/>`)
	},
	"knot": func(ink, second string) string {
		return stroke(ink, 8, `<rect x="22" y="34" width="34" height="28" rx="14"/>`) + stroke(second, 8, `<rect x="40" y="34" width="34" height="28" rx="14"/>`)
	},
	"steps": func(ink, second string) string {
		return fill(ink, `<path d="M20 74V56h18V40h18V24h20v14H66v16H50v16H34v4z"/>`) + fill(second, `<circle cx="32" cy="34" r="8"/>`)
	},
	"bridge": func(ink, second string) string {
		return stroke(ink, 7, `<path d="M16 66c6-32 58-32 64 0"/>`) + stroke(second, 6, `<path d="M14 72h68M36 46v24M60 46v24"/>`)
	},
	"kite": func(ink, second string) string {
		return fill(ink, `<path d="M48 16l24 28-24 14z"/>`) + fill(second, `<path d="M44 16L20 44l24 14z"/>`) + stroke(ink, 5, `<path d="M46 62c8 6-8 10 2 18"/>`)
	},
}

func fill(ink, shapes string) string { return `<g fill="` + ink + `">` + shapes + `</g>` }

func stroke(ink string, width int, shapes string) string {
	return fmt.Sprintf(`<g fill="none" stroke="%s" stroke-width="%d" stroke-linecap="round" stroke-linejoin="round">%s</g>`, ink, width, shapes)
}

// LogoSVG draws the company's logo: its mark, or its initials over its mark,
// with the name as the accessible title. The same company is always drawn the same.
func (c Company) LogoSVG() []byte { return logo(c.Slug, c.Name, c.Colour, c.mark) }

// LogoSVG draws the board's sign.
func (b *Board) LogoSVG() []byte { return sign(b.Name, b.colour, b.mark) }

// logo puts a mark, a ground and initials together in one of four ways, chosen
// by the slug.
func logo(slug, name, colour, mark string) []byte {
	ground := `<rect width="96" height="96" rx="20" fill="%s"/>`
	switch seed(slug, "ground") % 3 {
	case 1:
		ground = `<circle cx="48" cy="48" r="48" fill="%s"/>`
	case 2:
		ground = `<rect width="96" height="96" rx="8" fill="%s"/>`
	}
	light := mix(colour, "#ffffff", 0.88)
	draw := marks[mark]
	var body string
	switch seed(slug, "form") % 4 {
	case 0: // mark alone on the brand's colour
		body = fmt.Sprintf(ground, colour) + draw(onColour(colour), mix(colour, onColour(colour), 0.55))
	case 1: // mark alone on a tint
		body = fmt.Sprintf(ground, light) + draw(colour, mix(colour, "#000000", 0.35))
	case 2: // initials over a faint mark
		body = fmt.Sprintf(ground, colour) + draw(mix(colour, onColour(colour), 0.16), mix(colour, onColour(colour), 0.10)) +
			letters(initials(name), 62, 38, onColour(colour))
	default: // small mark above initials on a tint
		body = fmt.Sprintf(ground, light) + `<g transform="translate(26 8) scale(.46)">` + draw(colour, mix(colour, "#000000", 0.35)) + `</g>` +
			letters(initials(name), 80, 28, mix(colour, "#000000", 0.45))
	}
	return svg(name, body)
}

func sign(name, colour, mark string) []byte {
	return svg(name, `<rect width="96" height="96" rx="22" fill="`+colour+`"/>`+marks[mark](onColour(colour), mix(colour, onColour(colour), 0.62)))
}

func svg(title, body string) []byte {
	t := html.EscapeString(title)
	return []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96" width="96" height="96" role="img" aria-label="` + t + `"><title>` + t + `</title>` + body + "</svg>\n")
}

func letters(s string, y, size int, ink string) string {
	return fmt.Sprintf(`<text x="48" y="%d" font-family="Helvetica, Arial, sans-serif" font-size="%d" font-weight="700" text-anchor="middle" fill="%s">%s</text>`,
		y, size, ink, html.EscapeString(s))
}

// initials are the first letters of the first two words that say something.
func initials(name string) string {
	var out []rune
	for _, w := range strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '-' || r == '&' }) {
		first := []rune(w)[0]
		if strings.ToUpper(string(first)) != string(first) {
			continue // "am", "der", "of"
		}
		if out = append(out, first); len(out) == 2 {
			break
		}
	}
	return string(out)
}

// onColour is white or near-black, whichever reads better.
func onColour(c string) string {
	if Contrast(c, "#ffffff") >= 4.5 {
		return "#ffffff"
	}
	return "#10161d"
}

// mix moves a colour towards another by a share from 0 to 1.
func mix(from, to string, share float64) string {
	a, b := channels(from), channels(to)
	out := "#"
	for i := range a {
		out += fmt.Sprintf("%02x", int(math.Round(a[i]+(b[i]-a[i])*share)))
	}
	return out
}

func channels(hex string) [3]float64 {
	var out [3]float64
	if len(hex) != 7 || hex[0] != '#' {
		return out
	}
	for i := range out {
		n, _ := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		out[i] = float64(n)
	}
	return out
}

// Contrast is the WCAG 2 contrast ratio of two "#rrggbb" colours, from 1 to 21.
func Contrast(a, b string) float64 {
	x, y := luminance(a), luminance(b)
	if x < y {
		x, y = y, x
	}
	return (x + 0.05) / (y + 0.05)
}

func luminance(hex string) float64 {
	c := channels(hex)
	for i, v := range c {
		if v /= 255; v <= 0.04045 {
			c[i] = v / 12.92
		} else {
			c[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2]
}
