//! The Debian package: program, man pages, completions, units of separate users, and what is done when it comes and goes.
//! The tree is staged below `target` and packed by dpkg-deb, as root's whoever builds it.

mod needs;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{self, Outcome, at};
use crate::workspace;
use tree::Tree;

/// What is wanted.
struct Wish {
    /// The program; none: it is built.
    program: Option<PathBuf>,
    /// Where the package goes.
    into: PathBuf,
    /// How it is compressed, in dpkg-deb's words.
    compression: &'static [&'static str],
}

/// Makes the package, and says where it is.
pub(crate) fn make(options: &[&str]) -> Outcome {
    let wish = Wish::read(options)?;
    let program = match &wish.program {
        Some(program) => program.clone(),
        None => workspace::release_binary()?,
    };
    // Two who build at once do not meet.
    let tree = Tree::fresh(&workspace::target().join(format!("package-{}", std::process::id())))?;
    fill(&tree, &program)?;
    let depends = needs::packages(&tree.at("usr/bin/stead"))?;
    control(&tree, &depends)?;
    at(&wish.into, fs::create_dir_all(&wish.into))?;
    let name = format!("stead_{}_{}.deb", version(), architecture()?);
    let package = wish.into.join(name);
    let mut pack = program::command(["dpkg-deb", "--root-owner-group"]);
    program::output(pack.args(wish.compression).arg("--build").arg(tree.root()).arg(&package))?;
    tree.remove()?;
    println!("package: {}", package.display());
    Ok(())
}

impl Wish {
    fn read(options: &[&str]) -> Outcome<Wish> {
        let into = workspace::target().join("debian");
        let mut wish = Wish { program: None, into, compression: &["-Zxz"] };
        let mut words = options.iter();
        while let Some(word) = words.next() {
            let mut path = || words.next().map(PathBuf::from).ok_or_else(|| format!("{word} needs a path"));
            match *word {
                "--program" => wish.program = Some(path()?),
                "--into" => wish.into = path()?,
                "--quick" => wish.compression = &["-Zgzip", "-z1"],
                other => return Err(format!("do not know `{other}`")),
            }
        }
        Ok(wish)
    }
}

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// As Debian calls it.
fn architecture() -> Outcome<String> {
    Ok(program::output(&mut program::command(["dpkg", "--print-architecture"]))?.trim().to_owned())
}

/// A file of the workspace's folder `packaging`.
fn packaging(name: &str) -> PathBuf {
    workspace::root().join("packaging").join(name)
}

/// Everything that is unpacked onto a machine.
fn fill(tree: &Tree, program: &Path) -> Outcome {
    tree.add(program, "usr/bin/stead", 0o755)?;
    program::output(program::command(["strip", "--strip-unneeded"]).arg(tree.at("usr/bin/stead")))?;
    for part in ["server", "gateway", "keeper", "agent"] {
        let unit = format!("stead-{part}.service");
        tree.add(&packaging("systemd").join(&unit), &format!("usr/lib/systemd/system/{unit}"), 0o644)?;
    }
    tree.add(&packaging("systemd/stead.sysusers"), "usr/lib/sysusers.d/stead.conf", 0o644)?;
    tree.add(&packaging("systemd/stead.tmpfiles"), "usr/lib/tmpfiles.d/stead.conf", 0o644)?;
    for (name, mode) in CONFIGURATION {
        tree.add(&packaging("etc").join(name), &format!("etc/stead/{name}"), mode)?;
    }
    generated(tree, program)?;
    documents(tree)
}

/// What people change, and who may read it: passwords and keys of storages are root's, who starts the services.
const CONFIGURATION: [(&str, u32); 4] =
    [("database.env", 0o600), ("gateway.env", 0o600), ("keeper.env", 0o600), ("server.env", 0o644)];

/// Man pages and completions, which the program makes.
fn generated(tree: &Tree, program: &Path) -> Outcome {
    let man = tree.folder("usr/share/man/man1")?;
    let completions = [
        ("--bash-completion", "usr/share/bash-completion/completions", "stead"),
        ("--fish-completion", "usr/share/fish/vendor_completions.d", "stead.fish"),
        ("--zsh-completion", "usr/share/zsh/vendor-completions", "_stead"),
    ];
    let mut generate = std::process::Command::new(program);
    generate.arg("generate").arg("--man").arg(&man);
    for (flag, folder, name) in completions {
        generate.arg(flag).arg(tree.folder(folder)?.join(name));
    }
    program::output(&mut generate)?;
    tree.compress("usr/share/man/man1")
}

fn documents(tree: &Tree) -> Outcome {
    let documents = "usr/share/doc/stead";
    tree.add(&packaging("debian/copyright"), &format!("{documents}/copyright"), 0o644)?;
    tree.add(&packaging("debian/README.Debian"), &format!("{documents}/README.Debian"), 0o644)?;
    tree.add(&packaging("debian/lintian-overrides"), "usr/share/lintian/overrides/stead", 0o644)?;
    tree.write(&format!("{documents}/changelog"), &changelog()?, 0o644)?;
    program::output(program::command(["gzip", "-9n"]).arg(tree.at(&format!("{documents}/changelog")))).map(drop)
}

/// The one entry that Debian wants: of this version, as of the last commit.
fn changelog() -> Outcome<String> {
    let git = ["git", "log", "-1", "--format=%cD"];
    let date = program::output(program::command(git).current_dir(workspace::root()));
    // Outside of a repository there is no commit.
    let date = date.or_else(|_| program::output(&mut program::command(["date", "-R"])))?;
    let by = "the stead authors <stead@users.noreply.github.com>";
    let entry = "  * What changed is told in the changelog of the sources.";
    Ok(format!("stead ({}) unstable; urgency=medium\n\n{entry}\n\n -- {by}  {}\n", version(), date.trim()))
}

/// What dpkg reads.
fn control(tree: &Tree, depends: &str) -> Outcome {
    let template = at(&packaging("debian/control"), fs::read_to_string(packaging("debian/control")))?;
    let size = tree.kibibytes()?.to_string();
    let filled = template.replace("@VERSION@", version()).replace("@ARCHITECTURE@", &architecture()?);
    let filled = filled.replace("@SIZE@", &size).replace("@DEPENDS@", depends);
    let sums = tree.sums()?;
    tree.write("DEBIAN/control", &filled, 0o644)?;
    tree.write("DEBIAN/md5sums", &sums, 0o644)?;
    let kept: String = CONFIGURATION.iter().map(|(name, _)| format!("/etc/stead/{name}\n")).collect();
    tree.write("DEBIAN/conffiles", &kept, 0o644)?;
    for script in ["postinst", "prerm", "postrm"] {
        tree.add(&packaging("debian").join(script), &format!("DEBIAN/{script}"), 0o755)?;
    }
    Ok(())
}
