// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice What one contract may ask of another; granted by address in `Directory`, behind the council's time lock.
library Rights {
    /// @notice Open accounts in `Escrow` and move what is in them (rule E4).
    bytes32 internal constant ESCROW_MOVE = "escrow.move";
    /// @notice Charge a member's limit. `Escrow` alone.
    bytes32 internal constant MEMBERS_CHARGE = "members.charge";
    /// @notice Book and free slots. `Leases` alone.
    bytes32 internal constant INVENTORY_BOOK = "inventory.book";
    /// @notice Record and close requests. Auctions.
    bytes32 internal constant BOOK_RECORD = "book.record";
    /// @notice Keep an offer from being sold beside an auction. Auctions.
    bytes32 internal constant BOOK_FREEZE = "book.freeze";
    /// @notice Turn an award into leases. `Book` and auctions.
    bytes32 internal constant AWARDS_OPEN = "awards.open";
    /// @notice Open a lease, and give back what an award left in its fund. `Awards` alone.
    bytes32 internal constant LEASES_OPEN = "leases.open";
    /// @notice Change a lease that runs: extend it, or end it for a reason that is neither its parties' nor a verdict's.
    bytes32 internal constant LEASES_AMEND = "leases.amend";
    /// @notice Lock the money of leases. `Leases` alone; a `Settlement` listens to the first that does and to no other.
    bytes32 internal constant SETTLEMENT_REPORT = "settlement.report";
    /// @notice Push what a committee found into a lease: drawn, delivered, breached. `Witnesses`, `Verdicts`.
    bytes32 internal constant LEASES_WITNESS = "leases.witness";
    /// @notice Set a penalty against a lease's price. `Verdicts` alone.
    bytes32 internal constant SETTLEMENT_JUDGE = "settlement.judge";
    /// @notice Slash witnesses. `Audits` alone.
    bytes32 internal constant WITNESSES_SLASH = "witnesses.slash";
}
