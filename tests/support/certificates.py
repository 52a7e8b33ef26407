"""Certificates for tests: an authority, certificates that it signed, revoked ones, PKCS12; made with `openssl`."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """Paths of PEM files."""

    certificate: Path
    key: Path

    @property
    def certificate_pem(self) -> str:
        return self.certificate.read_text()

    @property
    def key_pem(self) -> str:
        return self.key.read_text()


class Authority:
    """An authority of its own in a folder; `ca` is its certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        new = ["-newkey", "rsa:2048", "-nodes", "-days", "30"]
        self._run("req", "-x509", *new, "-subj", "/CN=test-ca", "-keyout", "ca.key", "-out", "ca.pem")
        self.ca = folder / "ca.pem"

    def sign(self, name: str, alternatives: str = "", password: str = "") -> Certificate:
        """A certificate for CN `name`, valid for `alternatives` such as `DNS:a,IP:127.0.0.1`; its key encrypted."""
        stem = "".join(letter if letter.isalnum() else "_" for letter in name) + ("_locked" if password else "")
        secret = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        new = ["-newkey", "rsa:2048", *secret, "-subj", f"/CN={name}"]
        self._run("req", *new, "-keyout", f"{stem}.key", "-out", f"{stem}.csr")
        extension = self.folder / f"{stem}.ext"
        extension.write_text(f"subjectAltName={alternatives}\n" if alternatives else "basicConstraints=CA:FALSE\n")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", extension.name]
        self._run("x509", "-req", "-in", f"{stem}.csr", *signed, "-out", f"{stem}.pem")
        return Certificate(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")

    def keystore(self, certificate: Certificate, password: str) -> Path:
        """A PKCS12 file of a certificate and its key."""
        target = certificate.certificate.with_suffix(".p12")
        parts = ["-inkey", str(certificate.key), "-in", str(certificate.certificate)]
        self._run("pkcs12", "-export", *parts, "-out", str(target), "-passout", f"pass:{password}")
        return target

    def revoke(self, *certificates: Certificate) -> Path:
        """The list of what is revoked, as a PEM file."""
        (self.folder / "index.txt").write_text("")
        (self.folder / "crlnumber").write_text("01\n")
        (self.folder / "ca.conf").write_text(
            "[ca]\ndefault_ca=here\n[here]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\n"
            "default_crl_days=30\n"
        )
        signer = ["-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key"]
        for one in certificates:
            self._run("ca", *signer, "-revoke", str(one.certificate))
        self._run("ca", *signer, "-gencrl", "-out", "revoked.pem")
        return self.folder / "revoked.pem"

    def hashed_folder(self) -> Path:
        """A folder in which OpenSSL finds the authority."""
        folder = self.folder / "hashed"
        folder.mkdir(exist_ok=True)
        (folder / "ca.pem").write_bytes(self.ca.read_bytes())
        self._run("rehash", str(folder))
        return folder

    def _run(self, *words: str) -> None:
        done = subprocess.run(["openssl", *words], check=False, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
