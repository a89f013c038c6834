"""The map from words to the module of a command: nothing is imported to find one. HOT."""

from __future__ import annotations

# Words of the command → (module in this package, the line shown in lists).
COMMANDS: dict[str, tuple[str, str]] = {
    "artifact extract": ("artifact_extract", "Copy the files of an artifact out of the store"),
    "artifact inspect": ("artifact_inspect", "Display an artifact's manifest"),
    "artifact ls": ("artifact_ls", "List artifacts"),
    "artifact pull": ("artifact_pull", "Pull an artifact from a registry"),
    "artifact rm": ("artifact_rm", "Remove artifacts"),
    "attach": ("attach", "Attach to a running container"),
    "commit": ("commit", "Create a new image from the changes of a container"),
    "completion": ("completion", "Print the completion script of a shell"),
    "container cleanup": ("container_cleanup", "Clean up what a stopped container left behind"),
    "container exists": ("container_exists", "Check if a container exists"),
    "container inspect": ("container_inspect", "Display the configuration of containers"),
    "container prune": ("container_prune", "Remove all containers that do not run"),
    "copy": ("copy", "Copy an image between registries, archives, directories and the store"),
    "cp": ("cp", "Copy files between a container and the host"),
    "create": ("create", "Create but do not start a container"),
    "diff": ("diff", "Show what a container changed, or how images differ"),
    "doctor": ("doctor", "Try every building block and say what mends those that fail"),
    "events": ("events", "Show what happens to containers, pods, images and volumes"),
    "exec": ("exec", "Run a process in a running container"),
    "export": ("export", "Export the file system of a container as a tar archive"),
    "healthcheck run": ("healthcheck_run", "Run the health check of a container"),
    "help": ("help", "Show the help of a command"),
    "history": ("history", "Show the history of an image"),
    "image diff": ("image_diff", "Show how an image differs from what it stands on"),
    "image exists": ("image_exists", "Check if an image exists"),
    "image inspect": ("image_inspect", "Display the configuration of images"),
    "image mount": ("image_mount", "Mount images read-only, inside rpod unshare"),
    "image prune": ("image_prune", "Remove unused images"),
    "image tree": ("image_tree", "Show the layers of an image, their sizes and who shares them"),
    "image trust set": ("image_trust_set", "Say what is trusted from a registry, or by default"),
    "image trust show": ("image_trust_show", "Show what the trust policy says"),
    "image unmount": ("image_unmount", "Unmount images mounted by rpod image mount"),
    "images": ("images", "List images in local storage"),
    "import": ("import_", "Create an image from a root file system"),
    "info": ("info", "Show what rpod uses here: host, store, drivers and why"),
    "init": ("init", "Initialize containers"),
    "inspect": ("inspect", "Display the configuration of containers, images and volumes"),
    "kill": ("kill", "Send a signal to running containers"),
    "load": ("load", "Load images from an archive"),
    "login": ("login", "Log in to a registry"),
    "logout": ("logout", "Log out of a registry"),
    "logs": ("logs", "Show the logs of a container"),
    "manifest add": ("manifest_add", "Add images to a manifest list"),
    "manifest annotate": ("manifest_annotate", "Change what a manifest list says of one of its images"),
    "manifest create": ("manifest_create", "Create a manifest list"),
    "manifest exists": ("manifest_exists", "Check if a manifest list exists"),
    "manifest inspect": ("manifest_inspect", "Display a manifest list, or a manifest of the store or a registry"),
    "manifest push": ("manifest_push", "Push a manifest list and its images"),
    "manifest remove": ("manifest_remove", "Take an image off a manifest list"),
    "manifest rm": ("manifest_rm", "Remove manifest lists"),
    "pause": ("pause", "Pause all the processes in containers"),
    "pod create": ("pod_create", "Create a pod"),
    "pod exists": ("pod_exists", "Check if a pod exists"),
    "pod inspect": ("pod_inspect", "Display the configuration of pods"),
    "pod ps": ("pod_ps", "List pods"),
    "pod rm": ("pod_rm", "Remove pods"),
    "port": ("port", "List port mappings of a container"),
    "ps": ("ps", "List containers"),
    "pull": ("pull", "Pull an image from a registry or an archive"),
    "push": ("push", "Push an image to a registry, an archive or a directory"),
    "rename": ("rename", "Rename a container"),
    "restart": ("restart", "Restart containers"),
    "rm": ("rm", "Remove containers"),
    "rmi": ("rmi", "Remove images from local storage"),
    "run": ("run", "Run a command in a new container"),
    "save": ("save", "Save images to an archive"),
    "search": ("search", "Search registries for images"),
    "secret create": ("secret_create", "Create a secret"),
    "secret exists": ("secret_exists", "Check if a secret exists"),
    "secret inspect": ("secret_inspect", "Display what is known of secrets"),
    "secret ls": ("secret_ls", "List secrets"),
    "secret rm": ("secret_rm", "Remove secrets"),
    "start": ("start", "Start containers"),
    "stats": ("stats", "Display a live stream of container resource usage statistics"),
    "stop": ("stop", "Stop running containers"),
    "system check": ("system_check", "Verify the store and mend what is damaged"),
    "system df": ("system_df", "Show how much of the disk images, containers and volumes take"),
    "system migrate": ("system_migrate", "Use changed sub-ids: stop all containers and give up the user namespace"),
    "system prune": ("system_prune", "Remove what is not used: stopped containers, images, volumes"),
    "system renumber": ("system_renumber", "Do nothing: rpod's locks are files and have no numbers"),
    "system reset": (
        "system_reset",
        "Delete all containers, pods, images and volumes, and everything else rpod keeps",
    ),
    "tag": ("tag", "Add a name to an image"),
    "top": ("top", "Display the running processes of a container"),
    "unpause": ("unpause", "Unpause the processes in containers"),
    "unshare": ("unshare", "Run a command in your user namespace"),
    "untag": ("untag", "Remove names from an image"),
    "update": ("update", "Update the limits of a container"),
    "version": ("version", "Show the versions of rpod and what it stands on"),
    "volume create": ("volume_create", "Create a volume"),
    "volume exists": ("volume_exists", "Check if a volume exists"),
    "volume export": ("volume_export", "Export a volume as a tar archive"),
    "volume import": ("volume_import", "Unpack a tar archive into a volume"),
    "volume inspect": ("volume_inspect", "Display what is known of volumes"),
    "volume ls": ("volume_ls", "List volumes"),
    "volume prune": ("volume_prune", "Remove volumes that no container uses"),
    "volume rm": ("volume_rm", "Remove volumes"),
    "wait": ("wait", "Wait until containers stop"),
}

# Words that stand for other words.
ALIASES: dict[str, str] = {
    "artifact list": "artifact ls",
    "container attach": "attach",
    "container commit": "commit",
    "container cp": "cp",
    "container create": "create",
    "container diff": "diff",
    "container exec": "exec",
    "container export": "export",
    "container init": "init",
    "container kill": "kill",
    "container list": "ps",
    "container logs": "logs",
    "container ls": "ps",
    "container pause": "pause",
    "container port": "port",
    "container ps": "ps",
    "container rename": "rename",
    "container restart": "restart",
    "container rm": "rm",
    "container run": "run",
    "container start": "start",
    "container stats": "stats",
    "container stop": "stop",
    "container top": "top",
    "container unpause": "unpause",
    "container update": "update",
    "container wait": "wait",
    "image history": "history",
    "image import": "import",
    "image list": "images",
    "image load": "load",
    "image ls": "images",
    "image pull": "pull",
    "image push": "push",
    "image rm": "rmi",
    "image save": "save",
    "image search": "search",
    "image tag": "tag",
    "image umount": "image unmount",
    "image untag": "untag",
    "list": "ps",
    "pod list": "pod ps",
    "pod ls": "pod ps",
    "secret list": "secret ls",
    "secret remove": "secret rm",
    "system events": "events",
    "system info": "info",
    "volume list": "volume ls",
    "volume remove": "volume rm",
}

GROUPS: dict[str, str] = {
    "artifact": "Manage artifacts",
    "container": "Manage containers",
    "healthcheck": "Manage health checks of containers",
    "image": "Manage images",
    "image trust": "Manage what images are trusted",
    "manifest": "Manage lists of manifests",
    "pod": "Manage pods",
    "secret": "Manage secrets",
    "system": "Manage rpod itself",
    "volume": "Manage volumes",
}


def resolve(words: str) -> str | None:
    """Return the words that ``words`` stand for in ``COMMANDS``, ``None`` when there is no such command."""
    words = ALIASES.get(words, words)
    return words if words in COMMANDS else None


def groups_within(group: str) -> dict[str, str]:
    """Return the groups in a group ("" for the top level): last word → the words in ``GROUPS``."""
    prefix = f"{group} " if group else ""
    return {
        words[len(prefix) :]: words for words in GROUPS if words.startswith(prefix) and " " not in words[len(prefix) :]
    }


def within(group: str) -> dict[str, str]:
    """Return the commands of a group ("" for the top level): last word → the words in ``COMMANDS``."""
    prefix = f"{group} " if group else ""
    found = {}
    for words in (*COMMANDS, *ALIASES):
        if words.startswith(prefix) and " " not in words[len(prefix) :]:
            found[words[len(prefix) :]] = ALIASES.get(words, words)
    return dict(sorted(found.items()))
