package demo

import (
	"bytes"
	"fmt"
	"strings"
)

// CV makes a one-page PDF with a name as its heading and lines below it. Lines
// longer than the page are wrapped; letters outside Latin-1 become "?".
func CV(name string, lines []string) []byte {
	var text bytes.Buffer
	text.WriteString("BT\n/F2 20 Tf\n56 780 Td\n(" + pdfString(name) + ") Tj\n/F1 11 Tf\n0 -14 Td\n16 TL\nT*\n")
	for _, line := range lines {
		for _, part := range wrap(line, 84) {
			text.WriteString("(" + pdfString(part) + ") Tj T*\n")
		}
	}
	text.WriteString("ET\n")

	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 6 0 R /Resources << /Font << /F1 4 0 R /F2 5 0 R >> >> >>",
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%sendstream", text.Len(), text.String()),
		"<< /Title (" + pdfString("CV of "+name) + ") >>",
	}
	var out bytes.Buffer
	out.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(objects))
	for i, o := range objects {
		offsets[i] = out.Len()
		fmt.Fprintf(&out, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	xref := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, o := range offsets {
		fmt.Fprintf(&out, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&out, "trailer\n<< /Size %d /Root 1 0 R /Info 7 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, xref)
	return out.Bytes()
}

// pdfString escapes for a literal string in WinAnsi, which is Latin-1 for
// every letter of the demo data; the dashes and quotes above it are mapped.
func pdfString(s string) string {
	var out strings.Builder
	for _, r := range s {
		switch r {
		case '(', ')', '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
			continue
		case '–':
			r = 0x96
		case '—':
			r = 0x97
		case '’':
			r = 0x92
		case '„':
			r = 0x84
		case '“':
			r = 0x93
		case '”':
			r = 0x94
		case '€':
			r = 0x80
		case '•':
			r = 0x95
		default:
			if r > 0xff || r >= 0x7f && r <= 0x9f {
				r = '?'
			}
		}
		if r < 0x20 {
			r = ' '
		}
		if r < 0x7f {
			out.WriteRune(r)
			continue
		}
		fmt.Fprintf(&out, "\\%03o", r)
	}
	return out.String()
}

// wrap breaks a line at spaces so that no part has more than width letters; an
// empty line stays one empty part.
func wrap(line string, width int) []string {
	var parts []string
	current := ""
	for _, word := range strings.Fields(line) {
		if current != "" && len([]rune(current))+1+len([]rune(word)) > width {
			parts = append(parts, current)
			current = ""
		}
		if current != "" {
			current += " "
		}
		current += word
	}
	return append(parts, current)
}
