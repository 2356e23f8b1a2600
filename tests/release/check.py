"""Packages binaries as a release and uses the archives as their users do: whatever does not work is a fault.

    check.py BINARIES SAM_BIN    the folder of the binaries, and the folder of sam, cfn-lint and their python
"""

import hashlib
import json
import logging
import os
import platform
import re
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "second_opinion"))
import check as second_opinion

RELEASE = ROOT / "infra" / "release"
# This machine runs the binaries.
ARCH = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
OTHER_ARCH, OTHER_MACHINE = {"x86_64": ("arm64", 183), "arm64": ("x86_64", 62)}[ARCH]
# Debug binaries may need this machine's glibc. Release binaries are built for Lambda's.
GLIBC = max("2.34", platform.libc_ver()[1], key=lambda version: [int(part) for part in version.split(".")])
EPOCH_S = 1_700_000_000
EPOCH = (2023, 11, 14, 22, 13, 20)
READY_WITHIN_S = 60
BUCKET = "artifacts"


class Release:
    """The unpacked archives, and the faults found in them."""

    def __init__(self, binaries, sam_bin, folder):
        self.sam_bin, self.folder = sam_bin, folder
        self.checks, self.faults = 0, []
        self.functions = re.findall(r"CodeUri: \.\./functions/(.+)", (ROOT / "infra" / "template.yaml").read_text())
        # Release binaries have no symbols.
        self.binaries = folder / "binaries"
        self.binaries.mkdir()
        for name in [*self.functions, "keypool"]:
            subprocess.run(["strip", "-o", self.binaries / name, binaries / name], check=True)
        printed = self.release("--print-version").stdout.strip()
        self.version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
        self.check(printed == self.version, f"the version is {printed}")
        self.out = folder / "out"
        self.stem = f"keypool-{self.version}-lambda-{ARCH}"
        self.lambda_zip = self.out / f"{self.stem}.zip"
        self.unpacked = folder / "unpacked" / self.stem
        self.bin = folder / "bin"

    def check(self, holds, said):
        self.checks += 1
        if not holds:
            self.faults.append(said)
            print(f"fault: {said}", flush=True)

    def release(self, *arguments, script=RELEASE, **variables):
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH_S)} | variables
        environment = {name: value for name, value in environment.items() if value is not None}
        return subprocess.run([sys.executable, "-B", script, *arguments], env=environment, capture_output=True, text=True)

    def package(self, out, binaries=None, arch=ARCH, glibc=GLIBC, **more):
        return self.release("--arch", arch, "--binaries", binaries or self.binaries, "--out", out, "--glibc", glibc, **more)

    def refused(self, said, **how):
        """Packaging must fail, say why, and leave no archive."""
        out = self.folder / "refused"
        done = self.package(out, **how)
        self.check(done.returncode == 1 and said in done.stderr, f"not refused with '{said}': {done.returncode} {done.stderr}")
        self.check(not out.exists(), f"an archive is left after '{said}'")


def same_bytes(release):
    """Two runs give the same bytes. The second has other times, modes and folders of the binaries, and another time zone."""
    first = release.package(release.out)
    release.check(first.returncode == 0, f"packaging fails: {first.stderr}")
    again = release.folder / "again"
    for path in sorted(release.binaries.iterdir(), reverse=True):
        path.chmod(0o600)
        os.utime(path, (0, 0))
    binaries = release.binaries.rename(release.folder / "moved")
    second = release.package(again, binaries, TZ="Pacific/Auckland", LC_ALL="C", PYTHONHASHSEED="7")
    release.binaries = binaries
    release.check(second.returncode == 0, f"packaging fails again: {second.stderr}")
    names = sorted(path.name for path in release.out.iterdir())
    release.check(len(names) == 3 and "SHA256SUMS" in names, f"the release is {names}")
    for name in names:
        same = (release.out / name).read_bytes() == (again / name).read_bytes()
        release.check(same, f"{name} has other bytes the second time")


def sums(release):
    """SHA256SUMS names every archive."""
    lines = (release.out / "SHA256SUMS").read_text().splitlines()
    expected = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
                for path in sorted(release.out.iterdir()) if path.name != "SHA256SUMS"]
    release.check(lines == expected, f"SHA256SUMS is {lines}")


def contents(release):
    """The archives hold the binaries, as executable files, and nothing unexpected."""
    licenses = ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"]
    expected = ["README.md", "LIBRARIES.txt", "template.yaml", *licenses]
    expected += [f"functions/{name}.zip" for name in release.functions]
    with zipfile.ZipFile(release.lambda_zip) as archive:
        names = sorted(archive.namelist())
        release.check(names == sorted(f"{release.stem}/{name}" for name in expected), f"the functions' archive has {names}")
        release.check({info.date_time for info in archive.infolist()} == {EPOCH}, "other times than SOURCE_DATE_EPOCH")
        archive.extractall(release.unpacked.parent)
    for name in release.functions:
        with zipfile.ZipFile(release.unpacked / "functions" / f"{name}.zip") as archive:
            entries = [(info.filename, oct(info.external_attr >> 16), info.date_time) for info in archive.infolist()]
            release.check(entries == [("bootstrap", "0o100755", EPOCH)], f"{name}.zip has {entries}")
            bootstrap = Path(archive.extract("bootstrap", release.folder / "unpacked" / name))
        same = bootstrap.read_bytes() == (release.binaries / name).read_bytes()
        release.check(same, f"the bootstrap of {name} is another binary")
        bootstrap.chmod(0o755)
        release.bin.mkdir(exist_ok=True)
        (release.bin / name).symlink_to(bootstrap)

    (path,) = release.out.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        top = path.name.removesuffix(".tar.gz")
        modes = {member.name: (oct(member.mode), member.mtime, member.uid, member.uname) for member in archive}
        expected = {f"{top}/{name}": ("0o644", EPOCH_S, 0, "") for name in ["README.md", "LIBRARIES.txt", *licenses]}
        expected[f"{top}/keypool"] = ("0o755", EPOCH_S, 0, "")
        release.check(modes == expected, f"the command's archive has {modes}")
        archive.extractall(release.folder / "unpacked")
    (release.bin / "keypool").symlink_to(release.folder / "unpacked" / top / "keypool")


def libraries(release):
    """Each archive names the libraries in its binaries, with the texts of their licenses."""
    texts = [path.read_text() for path in sorted((release.folder / "unpacked").glob("*/LIBRARIES.txt"))]
    release.check(len(texts) == 2, f"{len(texts)} lists of libraries")
    for text in texts:
        lines = text.split("\n\n")[1].splitlines()
        names = [line.split(" ")[0] for line in lines]
        release.check({"aws-sdk-dynamodb", "tokio", "serde"} <= set(names), f"libraries are missing: {names}")
        for library in ["clap", "htmx"]:
            release.check((library in names) == (text is texts[1]), f"{library} is in another archive than the command's")
        # A macro, a tool for tests, and a crate of this workspace.
        release.check(not {"serde_derive", "proptest", "keypool-domain"} & set(names), f"too many libraries: {names}")
        unlicensed = [line for line in lines if not re.fullmatch(r"\S+ \d\S+  [^ ].*", line)]
        release.check(not unlicensed, f"libraries without a license: {unlicensed}")
        release.check("Permission is hereby granted" in text and "Apache License" in text, "license texts are missing")


def template(release):
    """The template names the zip file of each function. It passes cfn-lint and the rules of the source template."""
    path = release.unpacked / "template.yaml"
    text = path.read_text()
    code = re.findall(r"CodeUri: (.+)", text)
    release.check(code == [f"functions/{name}.zip" for name in release.functions], f"the functions' code is {code}")
    release.check("BuildMethod" not in text, "SAM would build the functions")
    release.check(f"    Default: {ARCH}\n    AllowedValues: [{ARCH}]\n" in text, f"other architectures than {ARCH}")
    for command in [["cfn-lint", path], ["python", ROOT / "tests" / "template" / "check.py", path]]:
        done = subprocess.run([release.sam_bin / command[0], *command[1:]], capture_output=True, text=True)
        release.check(done.returncode == 0, f"{command[0]} {command[1]}: {done.stdout}{done.stderr}")


def sam_package(release):
    """`sam package` does what `sam deploy` does before it calls CloudFormation. It uploads the zip files as they are."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        settings = release.folder / "sam"
        settings.mkdir()
        # Without this time, SAM looks for a newer version of itself.
        (settings / "metadata.json").write_text(json.dumps({"lastVersionCheck": time.time()}))
        aws = second_opinion.CREDENTIALS | {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ENDPOINT_URL": url}
        sam = {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(settings), "HOME": str(settings), "PATH": os.environ["PATH"]}
        s3 = boto3.client("s3", "eu-central-1", endpoint_url=url, aws_access_key_id="local", aws_secret_access_key="local")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        packaged = release.folder / "packaged.json"
        command = [release.sam_bin / "sam", "package", "--s3-bucket", BUCKET, "--template-file", "template.yaml",
                   "--output-template-file", packaged, "--use-json"]
        done = subprocess.run(command, cwd=release.unpacked, env=aws | sam, capture_output=True, text=True)
        release.check(done.returncode == 0, f"sam package: {done.stdout}{done.stderr}")
        if done.returncode:
            return
        resources = json.loads(packaged.read_text())["Resources"].values()
        code = [resource["Properties"]["CodeUri"] for resource in resources if "CodeUri" in resource["Properties"]]
        release.check(len(code) == len(release.functions), f"the packaged functions are {code}")
        for name, uri in zip(release.functions, code):
            stored = s3.get_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))["Body"].read()
            same = stored == (release.unpacked / "functions" / f"{name}.zip").read_bytes()
            release.check(same, f"{uri} is not the zip file of {name}")
        objects = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
        release.check(len(objects) == len(code), f"{len(objects)} objects are uploaded for {len(code)} functions")
    finally:
        server.stop()


def functions(release):
    """Each bootstrap serves a request of the contract. moto is its AWS."""
    folder = release.folder / "shop"
    folder.mkdir()
    shop = second_opinion.Shop(release.bin, folder)
    try:
        second_opinion.set_up(shop)
        second_opinion.samples(shop)
        sold = shop.post("random-assign-license-keys", (200, 803), product_id="1", quantity="1", identifier="31")
        key = json.loads(sold)["response"]["license_keys"][0]["license_key"]
        shop.verify(shop.post("get-license-keys", (200, 730), identifier="31"))
        shop.verify(shop.post("get-available-license-keys-count", (200, 741), product_id="1"))
        shop.verify(shop.post("update-license-key", (200, 950), license_key=key, validity="30"))
        shop.verify(shop.post("replace-license-key", (200, 860), license_key=key, reason="lost"))
        shop.verify(shop.post(second_opinion.QUEUED, (200, 807), product_id="1", quantity="1",
                              webhook_url=second_opinion.WEBHOOK_URL))
        for name, event in [("process-orders", {"Records": []}), ("sweep-orders", {"detail-type": "Scheduled Event"})]:
            kind, answer = shop.functions[name].invoke(event)
            shop.check(kind == "response", f"{name} fails: {answer}")
        release.check(set(shop.functions) == set(release.functions), f"the functions tried are {sorted(shop.functions)}")
    finally:
        for function in shop.functions.values():
            function.end()
    release.checks += shop.checks
    release.faults += shop.faults


def command(release):
    """The command runs from an empty folder."""
    folder = release.folder / "empty"
    folder.mkdir()
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    keypool = release.bin / "keypool"
    done = subprocess.run([keypool, "--version"], env=environment, capture_output=True, text=True)
    release.check(done.stdout == f"keypool {release.version}\n", f"keypool --version: {done}")
    began = time.monotonic()
    local = subprocess.Popen([keypool, "local", "--memory", "--port", "0"], cwd=folder, env=environment,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    signal.signal(signal.SIGALRM, lambda *_: local.kill())
    signal.alarm(READY_WITHIN_S)
    try:
        lines = []
        for line in local.stdout:
            lines.append(line)
            if line.startswith("ready http://127.0.0.1:"):
                break
        is_ready = bool(lines) and lines[-1].startswith("ready ")
        release.check(is_ready, f"not ready after {time.monotonic() - began:.0f} s: {lines}")
    finally:
        signal.alarm(0)
        local.terminate()
        local.wait(READY_WITHIN_S)


# Replaces cargo: records each call, and writes the smallest ELF file for the target.
FAKE_CARGO = """#!{python}
import json, os, pathlib, struct, sys
if sys.argv[1] == "metadata":
    os.execv(os.environ["REAL_CARGO"], sys.argv)
target, name = sys.argv[sys.argv.index("--target") + 1].partition(".")[0], sys.argv[-1]
with open(os.environ["FAKE_LOG"], "a") as log:
    print(json.dumps([sys.argv[1:], dict(os.environ)]), file=log)
if name == os.environ.get("FAKE_FAILURE"):
    sys.exit(101)
machine = 62 if target.startswith("x86_64") else 183
pathlib.Path(os.environ["CARGO_TARGET_DIR"], target, "release").mkdir(parents=True, exist_ok=True)
binary = pathlib.Path(os.environ["CARGO_TARGET_DIR"], "lambda", name, "bootstrap") # where cargo-lambda moves it
binary.parent.mkdir(parents=True, exist_ok=True)
header = struct.pack("<16sHHIQQQIHHHHHH", b"\\x7fELF\\x02\\x01\\x01", 3, machine, 1, 0, 0, 0, 0, 64, 0, 0, 64, 0, 0)
binary.write_bytes(header + os.environ.get("FAKE_PATH", "").encode())
"""


def build(release):
    """The build step calls cargo with the right flags for both architectures, and fails on unfit binaries."""
    fakes, log, out = release.folder / "fakes", release.folder / "cargo.log", release.folder / "built"
    fakes.mkdir()
    for name in ["cargo", "cargo-lambda"]:
        (fakes / name).write_text(FAKE_CARGO.format(python=sys.executable))
        (fakes / name).chmod(0o755)
    fake = {"PATH": f"{fakes}:{os.environ['PATH']}", "FAKE_LOG": str(log), "REAL_CARGO": shutil.which("cargo"),
            "CARGO_TARGET_DIR": str(release.folder / "target")}
    done = release.release("--out", out, **fake)
    release.check(done.returncode == 0, f"the build step fails: {done.stderr}")
    calls = [json.loads(line) for line in log.read_text().splitlines()]
    expected = []
    for target in ["x86_64-unknown-linux-gnu.2.34", "aarch64-unknown-linux-gnu.2.34"]:
        for name in [*release.functions, "keypool"]:
            expected.append(f"lambda build --compiler cargo-zigbuild --release --locked --target {target} --package {name}")
    called = [" ".join(arguments) for arguments, _ in calls]
    release.check(called == expected, f"cargo is called as {called}")
    for arguments, environment in calls:
        flags = environment["CARGO_ENCODED_RUSTFLAGS"].split("\x1f")
        processor = "haswell" if "x86_64" in " ".join(arguments) else "neoverse-n1"
        same = (f"-Ctarget-cpu={processor}" in flags) == (arguments[-1] != "keypool")
        same &= f"--remap-path-prefix={ROOT}=keypool" in flags and f"-ffile-prefix-map={ROOT}=keypool" in environment["CFLAGS"]
        same &= environment["SOURCE_DATE_EPOCH"] == str(EPOCH_S)
        release.check(same, f"{arguments} is built with {flags} and {environment['CFLAGS']}")
    sums = [line.split()[1] for line in (out / "SHA256SUMS").read_text().splitlines()]
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]:
        missing = [name for name in [*release.functions, "keypool"]
                   if not os.access(release.folder / "target" / target / "release" / name, os.X_OK)]
        release.check(not missing, f"{target}/release lacks {missing}, which the workflow tries next")
    stem = f"keypool-{release.version}"
    archives = [f"{stem}-aarch64-unknown-linux-gnu.tar.gz", f"{stem}-lambda-arm64.zip", f"{stem}-lambda-x86_64.zip",
                f"{stem}-x86_64-unknown-linux-gnu.tar.gz"]
    release.check(sums == archives, f"the release of both architectures is {sums}")
    with zipfile.ZipFile(out / f"{stem}-lambda-{OTHER_ARCH}.zip") as archive:
        text = archive.read(f"{stem}-lambda-{OTHER_ARCH}/template.yaml").decode()
        release.check(f"AllowedValues: [{OTHER_ARCH}]" in text, f"the template is not for {OTHER_ARCH}")

    for said, changes in [
        ("has the path", {"FAKE_PATH": f"{ROOT}/infra"}),
        ("has the path", {"FAKE_PATH": "/cargo-home/registry", "CARGO_HOME": "/cargo-home"}),
        ("the build of generate failed", {"FAKE_FAILURE": "generate"}),
        ("cargo-lambda is missing", {"PATH": "/usr/bin:/bin"}),
    ]:
        refused = release.folder / "refused"
        done = release.release("--out", refused, **(fake | changes))
        release.check(done.returncode == 1 and said in done.stderr, f"not refused with '{said}': {done.stderr}")
        release.check(not refused.exists(), f"an archive is left after '{said}'")


def refusals(release):
    """Packaging refuses unfit binaries and templates."""
    generate = (release.binaries / "generate").read_bytes()

    def spoilt(name, data):
        folder = release.folder / name
        folder.mkdir()
        for path in release.binaries.iterdir():
            (folder / path.name).symlink_to(path)
        (folder / "generate").unlink()
        if data is not None:
            (folder / "generate").write_bytes(data)
        return folder

    machine = generate[:18] + struct.pack("<H", OTHER_MACHINE) + generate[20:]
    release.refused(f"generate is built for {OTHER_ARCH}, not for {ARCH}", binaries=spoilt("machine", machine))
    release.refused(f"is built for {ARCH}, not for {OTHER_ARCH}", arch=OTHER_ARCH)
    release.refused("needs GLIBC_2.", glibc="2.17")
    private = generate.replace(b"\0GLIBC_2.34\0", b"\0GLIBC_9.34\0", 1)
    release.refused("generate needs GLIBC_9.34", binaries=spoilt("newer", private))
    library = generate.replace(b"\0libm.so.6\0", b"\0libz.so.1\0", 1)
    release.refused("generate needs libraries that Lambda does not have: libz.so.1", binaries=spoilt("library", library))
    release.refused("generate is not a complete 64-bit ELF file", binaries=spoilt("cut", generate[:100_000]))
    release.refused("generate is not a complete 64-bit ELF file", binaries=spoilt("script", b"#!/bin/sh\n"))
    release.refused("cannot read", binaries=spoilt("missing", None))
    release.refused("SOURCE_DATE_EPOCH is not a number", SOURCE_DATE_EPOCH="yesterday")
    usage = release.release("--binaries", release.binaries)
    release.check(usage.returncode == 2, f"binaries of no architecture: {usage}")

    # A separate source tree without git. Its template changes.
    tree = release.folder / "tree"
    (tree / "infra").mkdir(parents=True)
    for name in ["Cargo.toml", "LICENSE", "LICENSE-APACHE", "LICENSE-MIT", "infra/release"]:
        shutil.copy(ROOT / name, tree / name)
    source = (ROOT / "infra" / "template.yaml").read_text()
    script = {"script": tree / "infra" / "release"}
    (tree / "infra" / "template.yaml").write_text(source)
    release.refused("set SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH=None, GIT_CEILING_DIRECTORIES=str(tree.parent), **script)
    for before, after in [
        ("CodeUri: ../functions/generate", "CodeUri: ../elsewhere/generate"),
        ("BuildMethod: rust-cargolambda", "BuildMethod: makefile"),
        ("AllowedValues: [arm64, x86_64]", "AllowedValues: [x86_64]"),
    ]:
        (tree / "infra" / "template.yaml").write_text(source.replace(before, after))
        release.refused("infra/template.yaml:", **script)


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    binaries, sam_bin = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).absolute()
    with tempfile.TemporaryDirectory() as folder:
        release = Release(binaries, sam_bin, Path(folder))
        for part in [same_bytes, sums, contents, libraries, template, sam_package, functions, command, build, refusals]:
            began = time.monotonic()
            part(release)
            print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
        print(f"{release.checks - len(release.faults)} passed, {len(release.faults)} failed")
        return 1 if release.faults else 0


if __name__ == "__main__":
    sys.exit(main())
