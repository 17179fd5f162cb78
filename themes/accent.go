package themes

// Accent is the light palette's primary colour and what is readable on it, as
// hex for mails and consoles; "" when the tokens name none. Those have a light
// ground: a colour made for a dark one gives way to its nearest neighbour that
// reads there.
func (t Tokens) Accent() (accent, on string) {
	p, ok := t.Light["primary"]
	if !ok {
		return "", ""
	}
	ground := Color{rgb, 0.96, 0.96, 0.96, 1}
	if near := p.Neighbour(4.5, ground); near != p {
		return near.Hex(), "#ffffff"
	}
	q, ok := t.Light["primary-foreground"]
	if !ok {
		return p.Hex(), "#ffffff"
	}
	return p.Hex(), q.Hex()
}

// DarkAccent is the primary colour as text on the dark ground of a mail, as
// hex; "" when the tokens name none.
func (t Tokens) DarkAccent() string {
	p, ok := t.Dark["primary"]
	if !ok {
		if p, ok = t.Light["primary"]; !ok {
			return ""
		}
	}
	return p.Neighbour(4.5, Color{rgb, 0.11, 0.12, 0.14, 1}).Hex()
}
