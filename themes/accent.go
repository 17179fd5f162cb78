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
