package accounts

import (
	"shingle/internal/address"
	"shingle/internal/fault"
)

// Fold turns an e-mail address into the one form that it is stored and looked
// up in: address.Fold's. Kind: fault.Invalid (field "email") for what mail could
// not be sent to; its texts are keys of words.
func Fold(email string) (string, error) {
	folded, wrong := address.Fold(email)
	if wrong != address.Fine {
		return "", fault.Invalids(fault.Fields{"email": "account.email." + wrong})
	}
	return folded, nil
}
