package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// "pki DIR IP,IP,... DNS,DNS,...": every key and certificate that a cluster needs, so that no openssl is wanted.
func init() { others["pki"] = pki }

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func pki() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: hk pki DIR IP,... DNS,...")
		os.Exit(2)
	}
	dir, ips, names := os.Args[1], os.Args[2], os.Args[3]
	server := template("", "kube-apiserver", x509.ExtKeyUsageServerAuth)
	for _, ip := range strings.Split(ips, ",") {
		server.IPAddresses = append(server.IPAddresses, net.ParseIP(ip))
	}
	server.DNSNames = strings.Split(names, ",")

	ca, front := newAuthority(dir, "ca"), newAuthority(dir, "front-ca")
	issue(dir, "apiserver", server, ca)
	issue(dir, "kubelet-client", template("system:masters", "kube-apiserver-kubelet-client", x509.ExtKeyUsageClientAuth), ca)
	issue(dir, "front", template("", "front-proxy-client", x509.ExtKeyUsageClientAuth), front)

	serviceAccounts := newKey()
	writeKey(dir, "sa", serviceAccounts)
	public, err := x509.MarshalPKIXPublicKey(&serviceAccounts.PublicKey)
	check(err)
	writePEM(dir, "sa.pub", "PUBLIC KEY", public, 0o644)
}

func template(organisation, name string, usage ...x509.ExtKeyUsage) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	check(err)
	subject := pkix.Name{CommonName: name}
	if organisation != "" {
		subject.Organization = []string{organisation}
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: usage, BasicConstraintsValid: true,
	}
}

func newAuthority(dir, name string) authority {
	t := template("", name)
	t.IsCA, t.KeyUsage = true, t.KeyUsage|x509.KeyUsageCertSign
	self := authority{t, newKey()}
	return authority{issueWith(dir, name, t, self, self.key), self.key}
}

func issue(dir, name string, t *x509.Certificate, by authority) {
	issueWith(dir, name, t, by, newKey())
}

func issueWith(dir, name string, t *x509.Certificate, by authority, key *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, t, by.cert, &key.PublicKey, by.key)
	check(err)
	writeKey(dir, name, key)
	writePEM(dir, name+".crt", "CERTIFICATE", der, 0o644)
	cert, err := x509.ParseCertificate(der)
	check(err)
	return cert
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	return key
}

func writeKey(dir, name string, key *ecdsa.PrivateKey) {
	der, err := x509.MarshalECPrivateKey(key)
	check(err)
	writePEM(dir, name+".key", "EC PRIVATE KEY", der, 0o600)
}

func writePEM(dir, name, kind string, der []byte, mode os.FileMode) {
	check(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
