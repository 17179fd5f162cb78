package domains

import (
	"shingle/tenant"
)

// The ownership record. Others can see it, so it names no platform.
const (
	ownerLabel = "_board-verify."
	ownerValue = "board-verify="
)

// Record is a DNS record to make, as it is to be pasted.
type Record struct {
	Type string
	// Name is the full name; Short what forms want that add the zone themselves.
	Name, Short string
	Value       string
	// Why is the catalogue key of what the record is for.
	Why string
	// Or marks one of several ways to the same end.
	Or bool
}

// OwnerRecord proves that who runs the board may publish in the host's zone.
func OwnerRecord(d *Domain) Record {
	name := ownerLabel + d.Host
	return Record{Type: "TXT", Name: name, Short: relative(name, Zone(d.Host)), Value: ownerValue + d.Token, Why: "domain.record.owner"}
}

// AddressRecords lead the host here: a CNAME, or for a zone's own name
// addresses, or the alias that some providers offer in its place.
func (s *Service) AddressRecords(t *tenant.Tenant, d *Domain) []Record {
	target, short := s.Target(t), relative(d.Host, Zone(d.Host))
	if !Apex(d.Host) {
		return []Record{{Type: "CNAME", Name: d.Host, Short: short, Value: target + ".", Why: "domain.record.cname"}}
	}
	var out []Record
	for _, a := range s.EdgeAddresses {
		kind := "A"
		if a.Is6() {
			kind = "AAAA"
		}
		out = append(out, Record{Type: kind, Name: d.Host, Short: short, Value: a.String(), Why: "domain.record.address"})
	}
	return append(out, Record{Type: "ALIAS", Name: d.Host, Short: short, Value: target + ".", Why: "domain.record.alias", Or: len(out) > 0})
}

// AuthorityRecord lets our authority issue certificates for the host.
func (s *Service) AuthorityRecord(d *Domain) Record {
	name := d.Host
	if at := d.Report.AuthorityAt; at != "" {
		name = at
	}
	return Record{Type: "CAA", Name: name, Short: relative(name, Zone(d.Host)), Value: `0 issue "` + d.Report.AuthorityName + `"`, Why: "domain.record.caa"}
}
