# SPDX-License-Identifier: Apache-2.0
"""The verbs of the command line: one file each, whose function of the same name is the verb; a folder is a group."""
