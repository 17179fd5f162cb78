package themes

// Accent is the light palette's primary colour and what is readable on it, as
// hex for mails and consoles; "" when the tokens name none.
func (t Tokens) Accent() (accent, on string) {
	p, ok := t.Light["primary"]
	if !ok {
		return "", ""
	}
	q, ok := t.Light["primary-foreground"]
	if !ok {
		return p.Hex(), "#ffffff"
	}
	return p.Hex(), q.Hex()
}
